"""What a face lacks, what is added to it, and where that ends up in the photo."""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceskd.common.images import read_image
from faceskd.faces.align import fit_similarity, similarity_crop, template
from faceskd.faces.lr_faces import to_lr
from faceskd.portraits import render_portrait
from faceskd.restore.blend import Patch, add_faces
from faceskd.restore.octaves import SIZE, fade, frame_size, lacking, lr_crop, missing_detail
from faceskd.restore.photo_face import aligned_face


@pytest.fixture(scope="module")
def face():
    portrait = render_portrait(3, size=512)
    return similarity_crop(portrait.image, portrait.landmarks + 0.5)[0]


def shrunk(face, side):
    return cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)


def enlarged(face):
    return cv2.resize(face, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


class TestLacking:
    def test_a_sharp_face_lacks_nothing_at_any_size_that_it_has(self, face):
        for side in (256, 200, 128, 64, 40):
            weights = lacking(enlarged(shrunk(face, side)), side)
            np.testing.assert_array_less(weights[: 1 + (side > 32) + (side > 128)], 0.05)

    def test_what_enlarging_lacks_is_what_it_never_had(self, face):
        weights = lacking(enlarged(shrunk(face, 64)), 256)
        assert weights[0] == 0 and weights[1] < 0.2 and weights[2] > 0.5 and weights[3] == 1

    @pytest.mark.parametrize("side", [256, 128, 64])
    def test_a_blurred_face_lacks_all_fine_detail(self, face, side):
        blurred = cv2.GaussianBlur(shrunk(face, side), (0, 0), side / 32)
        assert (lacking(enlarged(blurred), side)[:2] > 0.5).all()

    def test_noise_over_blur_is_not_taken_for_detail(self, face):
        blurred = cv2.GaussianBlur(face, (0, 0), 8)
        grain = np.random.default_rng(0).normal(0, 8, face.shape)
        noisy = np.clip(blurred + grain, 0, 255).astype(np.uint8)
        assert (lacking(noisy, 256)[1:] > 0.9).all()

    @given(st.integers(0, 20), st.floats(16, 2048))
    @settings(max_examples=25, deadline=None)
    def test_weights_rise_from_0_to_1_whatever_the_picture(self, seed, resolution):
        rng = np.random.default_rng(seed)
        picture = rng.integers(0, 1 + seed * 12, (SIZE, SIZE, 3)).astype(np.uint8)
        weights = lacking(cv2.GaussianBlur(picture, (0, 0), 0.1 + seed / 4), resolution)
        assert weights.shape == (4,)
        assert (np.diff(weights) >= 0).all() and weights[0] >= 0 and weights[-1] <= 1

    @pytest.mark.skipif("FACESKD_FACES" not in os.environ, reason="FACESKD_FACES is not set")
    def test_real_photographs_are_sharp_and_their_lr_faces_are_not(self):
        photos = sorted(Path(os.environ["FACESKD_FACES"], "test").glob("*.*"))[:20]
        centre = [read_image(path) for path in photos]
        centre = [cv2.resize(image[:, : len(image)], (SIZE, SIZE)) for image in centre]
        sharp = np.array([lacking(image, SIZE) for image in centre])
        coarse = np.array([lacking(enlarged(to_lr(image)), SIZE) for image in centre])
        assert np.median(sharp.max(1)) < 0.05
        assert np.median(coarse[:, 1]) > 0.5


class TestMissingDetail:
    def test_nothing_lacking_adds_nothing(self, face):
        added = missing_detail(face, 255 - face, np.zeros(4))
        assert np.abs(added).max() < 1e-3

    def test_all_lacking_gives_the_restored_face_but_its_light_and_colour(self, face):
        dull = np.clip(0.5 * cv2.GaussianBlur(face, (0, 0), 6) + 60, 0, 255).astype(np.uint8)
        result = dull + missing_detail(dull, face, np.ones(4))

        def fine(image):
            return image - cv2.GaussianBlur(image.astype(np.float32), (0, 0), 5)

        assert np.abs(fine(result) - fine(face)).mean() < 0.05 * np.abs(fine(face)).mean()
        np.testing.assert_allclose(result.mean((0, 1)), dull.mean((0, 1)), atol=1e-2)

    def test_the_first_weight_alone_changes_nothing_and_no_status(self, face):
        weights = np.array([1, 0, 0, 0])
        assert np.abs(missing_detail(face, 255 - face, weights)).max() < 1e-3
        lone = replace(aligned_face(shrunk(face, 32)), whole=False, missing_octaves=weights)
        assert replace(lone, forced=True).with_detail(255 - lone.crop, 1).status == "kept"

    def test_an_octave_that_is_there_stays_the_photo_s(self, face):
        other = np.ascontiguousarray(face[::-1])
        soft = cv2.GaussianBlur(face, (0, 0), 1.5)
        added = missing_detail(soft, other, np.array([0, 0, 0, 1]))
        spectrum = np.abs(cv2.dct(added[..., 1]))
        radius = np.hypot(*np.mgrid[:SIZE, :SIZE])
        assert spectrum[radius < 90].max() < 1e-2
        assert spectrum[radius > 200].max() > 1


class TestLRCrop:
    @pytest.mark.parametrize("multiple", [1, 2, 5, 8])
    def test_is_a_mean_over_areas(self, face, multiple):
        side = 32 * multiple
        photo = np.zeros((side + 20, side + 20, 3), np.uint8)
        inside = shrunk(face, side)
        photo[10:-10, 10:-10] = inside
        matrix = np.array(
            [[SIZE / side, 0, -10 * SIZE / side], [0, SIZE / side, -10 * SIZE / side]]
        )
        means = inside.reshape(32, multiple, 32, multiple, 3).mean((1, 3))
        assert np.abs(lr_crop(photo, matrix, 32) - means).max() <= 1
        assert frame_size(matrix) == pytest.approx(side)


def turned(x, y, side, degrees):
    """From a picture to the frame of 256 px of a face around (x, y)."""
    turn = np.radians(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (template(SIZE) - SIZE / 2) * side / SIZE @ rotation.T + (x, y)
    return fit_similarity(points, template(SIZE))


class TestPaste:
    @pytest.mark.parametrize("degrees", [0, 20, -75])
    @pytest.mark.parametrize("side", [48, 150, 256, 700])
    def test_puts_each_point_where_it_belongs(self, side, degrees):
        matrix = turned(400.3, 380.8, side, degrees)
        spot = np.array([100.0, 140.0])
        v, u = np.mgrid[:SIZE, :SIZE] + 0.5
        bump = np.exp(-((u - spot[0]) ** 2 + (v - spot[1]) ** 2) / 2 / 12**2)
        canvas = np.zeros((800, 800, 3), np.uint8)
        add_faces(canvas, [Patch(np.float32(200 * bump[..., None].repeat(3, 2)), matrix)])
        weight = canvas[..., 0].astype(float)
        y, x = np.mgrid[:800, :800] + 0.5
        found = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
        expected = cv2.invertAffineTransform(matrix) @ (*spot, 1)
        np.testing.assert_allclose(found, expected, atol=0.06)
        assert weight.max() == pytest.approx(200, abs=12)  # a mean over the pixels of small faces

    def test_nothing_changes_outside_the_frame_or_at_its_border(self):
        canvas = np.full((300, 300, 3), 100, np.uint8)
        add_faces(
            canvas, [Patch(np.full((SIZE, SIZE, 3), 50, np.float32), turned(150, 150, 128, 0))]
        )
        assert (canvas[:87] == 100).all() and (canvas[:, 214:] == 100).all()
        assert canvas[150, 150, 0] == 150
        steps = np.abs(np.diff(canvas[150, :, 0].astype(int)))
        assert steps.max() <= 6

    def test_faces_that_overlap_are_not_added_twice(self):
        canvas = np.full((300, 400, 3), 100, np.uint8)
        addition = np.full((SIZE, SIZE, 3), 50, np.float32)
        frames = [Patch(addition, turned(x, 150, 160, 10)) for x in (120, 180, 250)]
        add_faces(canvas, frames)
        assert canvas.max() <= 151
        assert (canvas[150, 120:250] >= 120).all()

    @pytest.mark.parametrize("turns", [(10, 10, 10), (0, 40, -30)])
    def test_faces_that_overlap_add_up_on_any_background(self, turns):
        """The weights add up to 1, whether detail is added to the canvas or to another picture."""
        addition = np.full((SIZE, SIZE, 3), 50, np.float32)
        frames = [
            Patch(addition, turned(x, 150, 160, turn))
            for x, turn in zip((120, 180, 250), turns, strict=True)
        ]
        photo = np.full((300, 400, 3), 100, np.uint8)
        canvas, other, same = photo.copy(), photo.copy(), photo.copy()

        def enlarged(part):
            return photo[part[1] : part[3], part[0] : part[2]]

        add_faces(canvas, frames)
        add_faces(other, frames, enlarged)
        assert np.abs(canvas.astype(int) - other).max() <= 2
        add_faces(same, [frames[0]] * 3, enlarged)
        assert same[150, 120, 0] == pytest.approx(150, abs=1)

    def test_over_the_border_and_outside(self):
        canvas = np.full((100, 100, 3), 100, np.uint8)
        addition = np.full((SIZE, SIZE, 3), 50, np.float32)
        add_faces(
            canvas, [Patch(addition, turned(*at)) for at in ((0, 0, 100, 30), (500, 500, 100, 0))]
        )
        assert canvas[0, 0, 0] == 150
        assert canvas[99, 99, 0] == 100

    def test_values_are_clipped(self):
        canvas = np.full((100, 100, 3), 100, np.uint8)
        add_faces(canvas, [Patch(np.full((SIZE, SIZE, 3), 500, np.float32), turned(50, 50, 90, 0))])
        assert canvas[50, 50, 0] == 255

    def test_the_mask_fades_evenly(self):
        values = fade(np.arange(-5, 40))
        assert values[:6].max() == 0 and values[-1] == 1
        assert (np.diff(values) >= 0).all()
