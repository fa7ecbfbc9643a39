"""Augmentation: boxes follow the pixels, and chance decides alone."""

import cv2
import numpy as np
import pytest
from helpers.aligned_faces import BOXES
from hypothesis import given, settings
from hypothesis import strategies as st

from faceskd.common.config import compose, instantiate
from faceskd.common.errors import ConfigError
from faceskd.data.augment.geometry import (
    Compose,
    SimilarityJitter,
    Tone,
    Warp,
    Window,
    displace,
    mirror,
    similarity,
)
from faceskd.faces.components import COMPONENTS, MIRRORED

COLOURS = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200], [200, 200, 30]], np.uint8)


def painted():
    """A dark face whose component boxes are squares of four colours."""
    face = np.full((256, 256, 3), 10, np.uint8)
    for (x1, y1, x2, y2), colour in zip(BOXES.astype(int), COLOURS, strict=True):
        face[y1:y2, x1:x2] = colour
    return face


def find(face, colour):
    """The upright box around a colour's pixels: (centre, mean side), through its moments."""
    near = np.abs(face.astype(int) - colour).max(axis=-1) < 60
    y, x = np.nonzero(near)
    return np.array([x.mean(), y.mean()]) + 0.5, np.sqrt(near.sum())


def test_a_mirror_twice_is_no_mirror():
    face = painted()
    twice = mirror(*mirror(face, BOXES))
    np.testing.assert_array_equal(twice[0], face)
    np.testing.assert_array_equal(twice[1], BOXES)


def test_a_mirror_lets_the_eyes_change_places():
    names = [COMPONENTS[index] for index in MIRRORED]
    assert names == ["right_eye", "left_eye", "nose", "mouth"]
    face, boxes = mirror(painted(), BOXES)
    for box, colour in zip(boxes.astype(int), COLOURS[list(MIRRORED)], strict=True):
        x1, y1, x2, y2 = box
        assert (face[y1:y2, x1:x2] == colour).all()


@settings(max_examples=30, deadline=None)
@given(
    angle=st.floats(-12, 12),
    scale=st.floats(0.9, 1.15),
    shift=st.tuples(st.floats(-8, 8), st.floats(-8, 8)),
)
def test_boxes_follow_the_pixels(angle, scale, shift):
    face, boxes = similarity(painted(), BOXES, angle, scale, np.array(shift))
    assert face.shape == (256, 256, 3)
    for box, before, colour in zip(boxes, BOXES, COLOURS, strict=True):
        centre, side = find(face, colour)
        np.testing.assert_allclose((box[:2] + box[2:]) / 2, centre, atol=0.7)
        assert side == pytest.approx(box[2] - box[0], abs=1.5)
        assert box[2] - box[0] == pytest.approx(scale * (before[2] - before[0]), rel=1e-4)
        assert box[2] - box[0] == pytest.approx(box[3] - box[1], rel=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_boxes_follow_through_all_of_it(seed):
    augment = SimilarityJitter(flip=0.5, jitter=1.0, rotate=8, scale=0.1, shift=8, colour=0.0)
    face, boxes = augment(painted(), BOXES, np.random.default_rng(seed))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    found = [find(face, colour)[0] for colour in COLOURS]
    straight = np.allclose(centres, found, atol=1)
    mirrored = np.allclose(centres[list(MIRRORED)], found, atol=1)
    assert straight != mirrored
    assert centres[0][0] < centres[1][0]  # the left eye stays the picture's left one


def test_the_identity_transform_changes_nothing():
    face, boxes = similarity(painted(), BOXES, 0.0, 1.0, np.zeros(2))
    np.testing.assert_array_equal(face, painted())
    np.testing.assert_allclose(boxes, BOXES, atol=1e-4)


def test_probability_0_leaves_everything_as_it_is():
    face = painted()
    changed, boxes = SimilarityJitter(flip=0, jitter=0, colour=0)(
        face, BOXES, np.random.default_rng(0)
    )
    np.testing.assert_array_equal(changed, face)
    np.testing.assert_array_equal(boxes, BOXES)


def test_probability_1_always_mirrors():
    augment = SimilarityJitter(flip=1, jitter=0, colour=0)
    for seed in range(5):
        face, _ = augment(painted(), BOXES, np.random.default_rng(seed))
        np.testing.assert_array_equal(face, painted()[:, ::-1])
        assert face.flags.c_contiguous


def test_half_of_the_faces_are_mirrored():
    augment = SimilarityJitter(flip=0.5, jitter=0, colour=0)
    tiny = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    mirrored = [
        (augment(tiny, BOXES, np.random.default_rng(seed))[0] != tiny).any() for seed in range(300)
    ]
    assert 110 < sum(mirrored) < 190


def test_colour_is_a_gain_within_its_limit():
    grey = np.full((8, 8, 3), 100, np.uint8)
    augment = SimilarityJitter(flip=0, jitter=0, colour=0.08)
    changed = [augment(grey, BOXES, np.random.default_rng(seed))[0] for seed in range(100)]
    gains = np.array([face[0, 0] for face in changed]) / 100
    assert all((face == face[0, 0]).all() for face in changed)
    assert np.abs(gains - 1).max() <= 0.08 * 1.5 + 0.005
    assert gains.std() > 0.03
    assert (gains[:, 0] != gains[:, 1]).any()


def test_the_generator_alone_decides():
    augment = SimilarityJitter()
    first, again, other = (
        augment(painted(), BOXES, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_what_came_in_is_not_changed():
    face, boxes = painted(), BOXES.copy()
    SimilarityJitter(flip=1, jitter=1)(face, boxes, np.random.default_rng(0))
    np.testing.assert_array_equal(face, painted())
    np.testing.assert_array_equal(boxes, BOXES)


UNTOUCHED = {"exposure": 0, "gamma": 0, "white_balance": 0, "saturation": 0, "grey": 0}


def tone(face, seed, **options):
    return Tone(**(UNTOUCHED | options))(face, BOXES, np.random.default_rng(seed))


class TestTone:
    def test_nothing_is_nothing(self):
        face, boxes = tone(painted(), 0)
        np.testing.assert_array_equal(face, painted())
        np.testing.assert_array_equal(boxes, BOXES)

    @given(seed=st.integers(0, 2**32), stops=st.floats(0.05, 1))
    def test_exposure_multiplies_all_channels_alike_within_its_stops(self, seed, stops):
        grey = np.full((4, 4, 3), 90, np.uint8)
        face, _ = tone(grey, seed, exposure=stops)
        assert (face == face[0, 0, 0]).all()
        assert 90 * 2**-stops - 1 <= face[0, 0, 0] <= 90 * 2**stops + 1

    @given(seed=st.integers(0, 2**32))
    def test_gamma_keeps_black_white_and_their_order(self, seed):
        ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        face, _ = tone(ramp, seed, gamma=0.5)
        values = face[0].astype(int)
        assert (values[0] == 0).all()
        assert (values[255] == 255).all()
        assert (np.diff(values, axis=0) >= 0).all()
        assert abs(np.log2(np.log(values[128] / 255) / np.log(128 / 255))).max() < 0.52

    def test_white_balance_changes_channels_apart(self):
        grey = np.full((4, 4, 3), 100, np.uint8)
        colours = np.array([tone(grey, seed, white_balance=0.1)[0][0, 0] for seed in range(50)])
        assert np.abs(colours - 100.0).max() <= 10
        assert (np.ptp(colours, axis=1) > 3).sum() > 30

    def test_saturation_keeps_grey_pixels_and_luma(self):
        face = painted()
        changed, _ = tone(face, 3, saturation=0.5)
        assert (changed != face).any()
        np.testing.assert_array_equal(changed[0, 0], face[0, 0])
        luma = np.array([0.299, 0.587, 0.114])
        inside = (changed > 0).all(-1) & (changed < 255).all(-1)
        np.testing.assert_allclose((changed @ luma)[inside], (face @ luma)[inside], atol=1.5)

    def test_grey_pictures_are_as_frequent_as_told(self):
        face = np.array([[[200, 40, 90]]], np.uint8)
        pictures = np.array([tone(face, seed, grey=0.3)[0][0, 0] for seed in range(400)])
        assert 80 < (np.ptp(pictures, axis=1) == 0).sum() < 160


class TestWarp:
    @given(seed=st.integers(0, 2**32))
    @settings(max_examples=25, deadline=None)
    def test_boxes_follow_the_pixels_at_their_centres(self, seed):
        face = np.full((256, 256, 3), 10, np.uint8)
        for (x, y), colour in zip((BOXES[:, :2] + BOXES[:, 2:]) / 2, COLOURS, strict=True):
            face[int(y) - 3 : int(y) + 3, int(x) - 3 : int(x) + 3] = colour
        face, boxes = Warp(probability=1)(face, BOXES, np.random.default_rng(seed))
        for box, before, colour in zip(boxes, BOXES, COLOURS, strict=True):
            np.testing.assert_allclose((box[:2] + box[2:]) / 2, find(face, colour)[0], atol=1)
            np.testing.assert_allclose(box[2:] - box[:2], before[2:] - before[:2], atol=1e-3)

    def test_parts_move_apart(self):
        """As no similarity does: the distance between the eyes, and from eyes to mouth."""
        boxes = np.array(
            [
                Warp(probability=1)(painted(), BOXES, np.random.default_rng(seed))[1]
                for seed in range(60)
            ]
        )
        left, right, _, mouth = np.moveaxis((boxes[..., :2] + boxes[..., 2:]) / 2, 1, 0)
        assert (right - left)[:, 0].std() > 2
        assert (mouth - left)[:, 1].std() > 2
        assert (right - left)[:, 1].std() < (right - left)[:, 0].std()

    def test_without_asymmetry_both_halves_change_alike(self):
        even = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
        even = cv2.GaussianBlur(even, (0, 0), 4)
        even[:, 128:] = even[:, :128][:, ::-1]
        warp = Warp(probability=1, asymmetry=0)
        face, _ = warp(even, BOXES, np.random.default_rng(1))
        assert np.abs(face.astype(int) - even).mean() > 1
        assert np.abs(face.astype(int) - face[:, ::-1]).max() <= 2
        face, _ = Warp(probability=1)(even, BOXES, np.random.default_rng(1))
        assert np.abs(face.astype(int) - face[:, ::-1]).mean() > 1

    @pytest.mark.parametrize("asymmetry", [0, 0.3, 1])
    def test_nodes_have_the_deviation_that_was_told(self, asymmetry):
        warp = Warp(asymmetry=asymmetry)
        rng = np.random.default_rng(0)
        fields = np.array([warp._drawn(rng, 256, 4)[::64, ::64] for _ in range(800)])
        clipped = 0.88  # deviation of a normal variable clipped at 2 of its own: 0.8796
        assert fields[:, 1:, 1].std() == pytest.approx(clipped, rel=0.1)
        assert np.abs(fields).max() < 3

    @pytest.mark.parametrize(
        ("level", "alike"), [("coarse", 0.9), ("fine", 0.6), ("finest", 0.0)], ids=str
    )
    def test_each_level_moves_what_is_of_its_size(self, level, alike):
        """Two points 20 px apart: a coarse displacement moves them alike, details do not."""
        boxes = np.float32([[90, 90, 100, 100], [90, 110, 100, 120]])
        face = np.zeros((256, 256, 3), np.uint8)
        warp = Warp(**{"probability": 1, "coarse": 0, "fine": 0, "asymmetry": 0.5, level: 4})
        moved = [warp(face, boxes, np.random.default_rng(seed))[1][:, :2] for seed in range(300)]
        first, second = np.moveaxis(np.array(moved) - boxes[:, :2], 1, 0)
        assert np.corrcoef(first[:, 1], second[:, 1])[0, 1] == pytest.approx(alike, abs=0.2)
        assert first.std() > 1

    def test_without_displacement_the_face_stays(self):
        warp = Warp(probability=1, coarse=0, fine=0)
        np.testing.assert_array_equal(
            warp(painted(), BOXES, np.random.default_rng(0))[0], painted()
        )

    def test_a_field_says_where_pixels_come_from(self):
        face = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        field = np.broadcast_to(np.float32([3, -2]), (32, 32, 2))
        moved, boxes = displace(face, np.float32([[10, 10, 20, 20]]), field)
        np.testing.assert_array_equal(moved[5:25, 5:25], face[3:23, 8:28])
        np.testing.assert_allclose(boxes, [[7, 12, 17, 22]])

    def test_chance_alone_decides(self):
        same, boxes = Warp(probability=0)(painted(), BOXES, np.random.default_rng(0))
        np.testing.assert_array_equal(same, painted())
        np.testing.assert_array_equal(boxes, BOXES)
        changed = [
            (Warp(probability=0.5)(painted(), BOXES, np.random.default_rng(seed))[1] != BOXES).any()
            for seed in range(100)
        ]
        assert 30 < sum(changed) < 70
        first, again = (Warp()(painted(), BOXES, np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(first[0], again[0])


class TestWindow:
    @pytest.mark.parametrize("seed", range(5))
    def test_boxes_lie_on_their_colours(self, seed):
        face, boxes = Window(side=200)(painted(), BOXES, np.random.default_rng(seed))
        assert (face.shape, face.dtype) == ((200, 200, 3), np.uint8)
        assert face.flags.c_contiguous
        for (x1, y1, x2, y2), colour in zip(boxes.astype(int), COLOURS, strict=True):
            inside = face[max(y1, 0) : y2, max(x1, 0) : x2]
            assert inside.size and (inside == colour).all()
            everywhere = (face == colour).all(-1).sum()
            assert everywhere == inside.shape[0] * inside.shape[1]

    def test_every_place_occurs_in_either_direction(self):
        face = np.arange(16, dtype=np.uint8).reshape(4, 4, 1).repeat(3, 2)
        rng = np.random.default_rng(0)
        corners = {Window(side=2)(face, BOXES, rng)[0][0, 0, 0] for _ in range(200)}
        assert corners == {0, 1, 2, 4, 5, 6, 8, 9, 10}

    @pytest.mark.parametrize("side", [256, 300])
    def test_a_face_that_is_no_larger_stays_whole(self, side):
        face, boxes = Window(side=side)(painted(), BOXES, np.random.default_rng(0))
        np.testing.assert_array_equal(face, painted())
        np.testing.assert_array_equal(boxes, BOXES)


class TestSteps:
    def test_are_done_in_their_order_with_one_generator(self):
        first, second = SimilarityJitter(flip=1, jitter=1), Tone()
        face, boxes = Compose(a=first, b=second)(painted(), BOXES, np.random.default_rng(5))
        rng = np.random.default_rng(5)
        expected = second(*first(painted(), BOXES, rng), rng)
        np.testing.assert_array_equal(face, expected[0])
        np.testing.assert_array_equal(boxes, expected[1])

    def test_none_is_left_out(self):
        face, _ = Compose(a=None)(painted(), BOXES, np.random.default_rng(5))
        np.testing.assert_array_equal(face, painted())

    def test_what_is_no_step_is_refused(self):
        with pytest.raises(ConfigError, match="augmentation for the step 'tone', got 3"):
            Compose(tone=3)


def strong(*overrides):
    overrides = [f"data.augment.{override}" for override in overrides]
    cfg = compose("train", ["augment@data.augment=strong", *overrides])
    return instantiate(cfg.data.augment)


@pytest.mark.parametrize("seed", range(8))
def test_boxes_follow_through_the_strong_one(seed):
    augment = strong("tone=null", "exchange=null", "background=null", "warp=null")
    face, boxes = augment(painted(), BOXES, np.random.default_rng(seed), lambda: (painted(), BOXES))
    assert (face.shape, face.dtype) == ((256, 256, 3), np.uint8)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = [i for i in range(3) if boxes[i].min() >= 0 and boxes[i].max() <= 256]
    found = np.array([find(face, colour)[0] for colour in COLOURS])
    straight = np.allclose(centres[inside], found[inside], atol=1)
    mirrored = np.allclose(centres[list(MIRRORED)][inside], found[inside], atol=1)
    assert straight != mirrored


def test_the_strong_one_is_decided_by_the_generator_alone():
    augment = strong()

    def run(seed):
        return augment(painted(), BOXES, np.random.default_rng(seed), lambda: (painted(), BOXES))

    np.testing.assert_array_equal(run(1)[0], run(1)[0])
    np.testing.assert_array_equal(run(1)[1], run(1)[1])
    assert (run(1)[0] != run(2)[0]).any()
