"""Augmentation: boxes follow the pixels, and chance decides alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceskd.augment import MIRRORED, Augment, mirror, similarity
from faceskd.components import COMPONENTS

BOXES = np.array(
    [[64, 80, 104, 120], [148, 82, 192, 126], [112, 124, 140, 152], [102, 160, 150, 208]],
    np.float32,
)
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
    augment = Augment(flip=0.5, jitter=1.0, rotate=8, scale=0.1, shift=8, colour=0.0)
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
    changed, boxes = Augment(flip=0, jitter=0, colour=0)(face, BOXES, np.random.default_rng(0))
    np.testing.assert_array_equal(changed, face)
    np.testing.assert_array_equal(boxes, BOXES)


def test_probability_1_always_mirrors():
    augment = Augment(flip=1, jitter=0, colour=0)
    for seed in range(5):
        face, _ = augment(painted(), BOXES, np.random.default_rng(seed))
        np.testing.assert_array_equal(face, painted()[:, ::-1])
        assert face.flags.c_contiguous


def test_half_of_the_faces_are_mirrored():
    augment = Augment(flip=0.5, jitter=0, colour=0)
    tiny = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    mirrored = [
        (augment(tiny, BOXES, np.random.default_rng(seed))[0] != tiny).any() for seed in range(300)
    ]
    assert 110 < sum(mirrored) < 190


def test_colour_is_a_gain_within_its_limit():
    grey = np.full((8, 8, 3), 100, np.uint8)
    augment = Augment(flip=0, jitter=0, colour=0.08)
    changed = [augment(grey, BOXES, np.random.default_rng(seed))[0] for seed in range(100)]
    gains = np.array([face[0, 0] for face in changed]) / 100
    assert all((face == face[0, 0]).all() for face in changed)
    assert np.abs(gains - 1).max() <= 0.08 * 1.5 + 0.005
    assert gains.std() > 0.03
    assert (gains[:, 0] != gains[:, 1]).any()


def test_the_generator_alone_decides():
    augment = Augment()
    first, again, other = (
        augment(painted(), BOXES, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_what_came_in_is_not_changed():
    face, boxes = painted(), BOXES.copy()
    Augment(flip=1, jitter=1)(face, boxes, np.random.default_rng(0))
    np.testing.assert_array_equal(face, painted())
    np.testing.assert_array_equal(boxes, BOXES)
