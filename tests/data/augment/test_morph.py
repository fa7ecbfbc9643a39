"""Faces between two: the flow from one to the other, the colours, and what is left alone."""

import cv2
import numpy as np
import pytest
from helpers.aligned_faces import BOXES
from hypothesis import given, settings
from hypothesis import strategies as st

from faceskd.common.errors import ConfigError
from faceskd.data.augment.mixing import face_window
from faceskd.data.augment.morph import Morph, distances_to, flow_between, recolour

WINDOW = face_window(BOXES, 256, 0.3)
INSIDE = WINDOW > 0.99


def textured(seed=0, size=6.0):
    """Smooth noise over all levels, uint8 (256, 256, 3)."""
    noise = np.random.default_rng(seed).standard_normal((256, 256, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), size)
    return (128 + 40 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)


def shifted(image, x, y):
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return cv2.warpAffine(image, matrix, (256, 256), borderMode=cv2.BORDER_REFLECT_101)


def morph(face, other, seed=0, **options):
    rng = np.random.default_rng(seed)
    return Morph(**({"probability": 1} | options))(face, BOXES, rng, lambda: (other, BOXES))


class TestFlow:
    @given(x=st.integers(-8, 8), y=st.integers(-8, 8), seed=st.integers(0, 99))
    @settings(max_examples=15)
    def test_a_shift_is_found_where_the_window_is(self, x, y, seed):
        face = textured(seed)
        flow = flow_between(face, shifted(face, x, y), WINDOW)
        assert flow.shape == (256, 256, 2)
        np.testing.assert_allclose(np.median(flow[INSIDE], axis=0), [x, y], atol=0.5)

    def test_other_light_is_no_displacement(self):
        face = textured()
        darker = (face * 0.6 + 10).astype(np.uint8)
        assert np.abs(flow_between(face, darker, WINDOW)[INSIDE]).max() < 0.5


def test_distance_minds_the_face_and_not_its_light():
    face, other = textured(0), textured(1)
    darker = (face * 0.6 + 10).astype(np.uint8)
    same, dark, unlike = distances_to(face, [face, darker, other], WINDOW)
    assert same == 0
    assert dark < 0.05
    assert 1 < unlike < 2


def test_colours_are_those_of_the_other_in_the_window():
    image, like = textured(0), (textured(1) * [0.9, 1.0, 0.8] + [9, 0, 30]).astype(np.float32)
    fitted = recolour(image, like, WINDOW)
    for channel in range(3):
        mean = np.average(like[..., channel], weights=WINDOW)
        variance = np.average((like[..., channel] - mean) ** 2, weights=WINDOW)
        came = np.average(fitted[..., channel], weights=WINDOW)
        np.testing.assert_allclose(came, mean, atol=0.01)
        np.testing.assert_allclose(
            np.average((fitted[..., channel] - came) ** 2, weights=WINDOW), variance, rtol=1e-3
        )


class TestMorph:
    @pytest.mark.parametrize("seed", range(8))
    def test_a_face_and_its_shifted_self_have_the_same_shifted_less_between(self, seed):
        face = textured(3)
        mixed, boxes = morph(face, shifted(face, 6, 0), seed, farthest=60.0)
        moved = (boxes - BOXES)[:, [0, 2]]
        share = np.median(moved) / 6
        assert 0.02 < share < 0.98
        np.testing.assert_allclose(moved, 6 * share, atol=1)
        np.testing.assert_allclose((boxes - BOXES)[:, [1, 3]], 0, atol=1)
        expected = shifted(face, 6 * share, 0).astype(float)
        difference = np.abs(mixed - expected)[INSIDE].mean()
        assert difference < 0.3 * np.abs(face - expected)[INSIDE].mean() + 2

    def test_textures_are_the_one_s_the_other_s_and_between(self):
        face = textured(3)
        grain = np.random.default_rng(0).normal(0, 25, face.shape)
        grainy = (face + grain).clip(0, 255).astype(np.uint8)
        found = [
            cv2.Laplacian(morph(face, grainy, seed)[0].astype(np.float32), cv2.CV_32F)[INSIDE].std()
            for seed in range(24)
        ]
        smooth, rough = min(found), max(found)
        assert rough > 4 * smooth
        thirds = np.histogram(found, [0, smooth * 1.5, rough * 0.8, np.inf])[0]
        assert (thirds >= 3).all()

    def test_surroundings_stay(self):
        face, other = textured(3), shifted(textured(3), 3, 2)
        mixed, _ = morph(face, other)
        assert (mixed != face).any()
        np.testing.assert_array_equal(mixed[WINDOW == 0], face[WINDOW == 0])

    @pytest.mark.parametrize(
        ("other", "options"),
        [
            pytest.param(textured(5), {}, id="unlike"),
            pytest.param(shifted(textured(3), 5, 0), {"farthest": 3.0}, id="too far"),
            pytest.param(textured(3), {}, id="itself"),
        ],
    )
    def test_left_alone(self, other, options):
        face, boxes = morph(textured(3), other, **options)
        np.testing.assert_array_equal(face, textured(3))
        np.testing.assert_array_equal(boxes, BOXES)

    def test_the_likest_of_the_candidates_is_taken(self):
        face = textured(3)
        near, far = shifted(face, 4, 0), shifted(textured(4), 4, 0)
        others = iter([(far, BOXES), (near, BOXES), (far, BOXES)])
        rng = np.random.default_rng(0)
        mixed = Morph(probability=1, candidates=3)(face, BOXES, rng, lambda: next(others))[0]
        np.testing.assert_array_equal(mixed, morph(face, near, candidates=3)[0])

    def test_nobody_to_choose_from_is_refused(self):
        with pytest.raises(ConfigError, match="at least 1 candidate for a morph, got 0"):
            Morph(candidates=0)
