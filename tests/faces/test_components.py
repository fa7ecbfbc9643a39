"""Boxes from landmarks: the literal form of DFDNet, and five points against sixty-eight."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import box_iou

from faceskd.common.errors import FacesError
from faceskd.faces.components import COMPONENTS, FITTED, boxes_from_landmarks, five_points
from faceskd.portraits import portrait_landmarks

FIT = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "fit_component_boxes.py"))
PARTS = [
    [*range(17, 22), *range(36, 42)],
    [*range(22, 27), *range(42, 48)],
    [*range(29, 36)],
    [*range(48, 68)],
]


def centres_and_halves(boxes):
    return (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2] - boxes[..., 0]) / 2


@pytest.fixture(scope="module")
def portraits():
    return np.stack([portrait_landmarks(identity, size=256) for identity in range(30)])


def test_68_points_give_dfdnets_boxes(portraits):
    for points, boxes in zip(portraits, boxes_from_landmarks(portraits), strict=True):
        for part, box in zip(PARTS, boxes, strict=True):
            xs, ys = points[part, 0], points[part, 1]
            half = max(max(xs) - min(xs), max(ys) - min(ys)) / 2
            half = max(half, 8)
            x, y = sum(xs) / len(part), sum(ys) / len(part)
            np.testing.assert_allclose(box, [x - half, y - half, x + half, y + half], atol=1e-3)


@pytest.mark.parametrize("number", [5, 68])
@pytest.mark.parametrize("face_size", [256, 512])
def test_a_box_has_a_least_size(number, face_size):
    boxes = boxes_from_landmarks(np.full((number, 2), 50.0), face_size)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], face_size / 16)


def test_five_points_agree_with_68_on_the_mean_shapes_of_real_faces():
    shapes = FIT["mean_shapes"]()
    five = five_points(shapes)
    eye_distance = np.linalg.norm(five[:, 1] - five[:, 0], axis=-1)[:, None]
    scale = 80 / eye_distance[..., None]  # 80 px between the eyes, as in a 256 px crop
    centres, halves = centres_and_halves(boxes_from_landmarks(shapes * scale))
    near, near_halves = centres_and_halves(boxes_from_landmarks(five * scale))
    assert np.linalg.norm(centres - near, axis=-1).max() < 1.0
    assert np.abs(halves - near_halves).max() < 1.0


def test_the_constants_are_what_the_tool_fits():
    fits = [FIT["fit"](shape) for shape in FIT["mean_shapes"]()]
    for name in COMPONENTS:
        fitted = np.mean([constants[name] for constants in fits], axis=0)
        np.testing.assert_allclose(FITTED[name], fitted, atol=0.005)


def test_five_points_agree_with_68_face_by_face(portraits):
    exact, near = boxes_from_landmarks(portraits), boxes_from_landmarks(five_points(portraits))
    overlaps = np.stack(
        [
            box_iou(torch.tensor(a), torch.tensor(b)).diagonal()
            for a, b in zip(exact, near, strict=True)
        ]
    )
    assert overlaps.mean(0).min() > 0.72, dict(zip(COMPONENTS, overlaps.mean(0), strict=True))
    assert overlaps.min() > 0.4


@given(
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    scale=st.floats(0.5, 8),
)
def test_boxes_move_and_grow_with_the_face(shift, scale):
    points = np.array([[96, 120], [160, 121], [128, 157], [100, 186], [156, 185]], float)
    moved = boxes_from_landmarks(points * scale + shift, face_size=256 * scale)
    expected = boxes_from_landmarks(points) * scale + np.tile(shift, 2)
    np.testing.assert_allclose(moved, expected, atol=2e-2)


@pytest.mark.parametrize("number", [5, 68])
def test_a_mirrored_face_has_mirrored_boxes(number, portraits):
    points = portraits[0] if number == 68 else five_points(portraits[0])
    mirror = points * [-1, 1] + [256, 0]
    mirror = mirror[[1, 0, 2, 4, 3] if number == 5 else _mirror_order()]
    boxes = boxes_from_landmarks(mirror)[[1, 0, 2, 3]]
    expected = boxes_from_landmarks(points)[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [256, 0, 256, 0]
    np.testing.assert_allclose(boxes, expected, atol=1e-3)


def _mirror_order():
    order = list(range(68))
    for left, right in zip(range(17, 22), reversed(range(22, 27)), strict=True):
        order[left], order[right] = right, left
    for left, right in zip([*range(36, 42)], [45, 44, 43, 42, 47, 46], strict=True):
        order[left], order[right] = right, left
    return order


def test_shapes_and_types():
    for number in (5, 68):
        boxes = boxes_from_landmarks(np.random.default_rng(0).random((3, 2, number, 2)))
        assert boxes.shape == (3, 2, 4, 4) and boxes.dtype == np.float32


@pytest.mark.parametrize("points", [np.zeros((6, 2)), np.zeros((5, 3)), np.full((5, 2), np.nan)])
def test_other_points_are_refused(points):
    with pytest.raises(FacesError, match="expected"):
        boxes_from_landmarks(points)
    with pytest.raises(FacesError, match="expected"):
        five_points(points)
