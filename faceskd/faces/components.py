"""Component boxes: the squares around eyes, nose and mouth, computed from landmarks.

Boxes are as in DFDNet (Li et al., ECCV 2020). With 68 landmarks, the box is centred at the mean of
the component's points, and its half side is half of their largest extent, at least 8 px in a 256 px
face. With five landmarks, fitted constants give boxes of the same centre and size
(`tests/faces/test_components.py`).
"""

from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from faceskd.common.errors import FacesError

if TYPE_CHECKING:
    from torch import Tensor

Boxes = TypeVar("Boxes", np.ndarray, "Tensor")

COMPONENTS = ("left_eye", "right_eye", "nose", "mouth")
"""The order of components in arrays of boxes. Left and right are as in the picture."""

MIRRORED = tuple(
    COMPONENTS.index(name.replace("left", "~").replace("right", "left").replace("~", "right"))
    for name in COMPONENTS
)
"""Index of each component's box before mirroring: the eyes are exchanged."""

FIVE_POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
"""The order of five landmarks, as in MTCNN. Left and right are as in the picture."""

LANDMARKS_68 = {
    "left_eye": [*range(17, 22), *range(36, 42)],
    "right_eye": [*range(22, 27), *range(42, 48)],
    "nose": [*range(29, 36)],
    "mouth": [*range(48, 68)],
}
"""The points of each component in the 68-point scheme of iBUG 300-W; eyes include their brows."""

MIN_HALF_SIDE = 8 / 256
"""Smallest half side of a box, as a share of the side of the face image (DFDNet: 16 px of 512)."""

FITTED = {
    "left_eye": (-0.0325, -0.127, 0.369),
    "right_eye": (0.0325, -0.127, 0.369),
    "nose": (0.0, 0.620, 0.230),
    "mouth": (0.0, 0.045, 0.500),
}
"""Constants for five points: offset of the box centre from an anchor (across, down), and half side.

The vector `across` goes from eye to eye, `down` from the middle of the eyes to the middle of the
mouth. So the offsets rotate and scale with the face. The anchors are the eyes, the middle of the
mouth corners, and for the nose the middle of the eyes, moved sideways to the nose tip. Only the
sideways position of the tip is used, because detectors place the tip lower than point 30 of the 68:
0.62 eye distances below the eyes (MTCNN, 70 portraits), against 0.57 and 0.59 in the mean shapes.
Half sides are relative to the distance between the eyes, that of the mouth to its width.
`tools/fit_component_boxes.py` fits the constants to two published mean shapes of real faces, dlib's
and OpenFace's, which differ by less than 0.02.
"""


def five_points(landmarks: ArrayLike) -> np.ndarray:
    """The five points (`FIVE_POINTS`) of 5 or 68 landmarks: (..., 5|68, 2) -> (..., 5, 2) float32.

    From 68 points, these are the mean of each eye's contour, the nose tip (30) and the outer
    corners of the mouth (48, 54).

    Raises:
        FacesError: the landmarks are of another number or not finite.

    Examples:
        >>> five_points(np.zeros((68, 2))).shape
        (5, 2)
    """
    points = _check(landmarks)
    if points.shape[-2] == 5:
        return points
    left, right = points[..., 36:42, :].mean(-2), points[..., 42:48, :].mean(-2)
    return np.stack([left, right, *np.moveaxis(points[..., [30, 48, 54], :], -2, 0)], axis=-2)


def boxes_from_landmarks(points: ArrayLike, face_size: float = 256) -> np.ndarray:
    """Square boxes of the four components, in the order of `COMPONENTS`.

    Args:
        points: 5 (`FIVE_POINTS`) or 68 (iBUG) landmarks, (..., 5|68, 2), x and y in pixels.
        face_size: side of the face image in pixels, for the smallest size of a box.

    Returns:
        (..., 4, 4) float32, x1, y1, x2, y2 in the same pixels; not clipped to the image.

    Raises:
        FacesError: the landmarks are of another number or not finite.

    Examples:
        >>> eyes_nose_mouth = [[96, 120], [160, 120], [128, 157], [100, 186], [156, 186]]
        >>> boxes_from_landmarks(eyes_nose_mouth).shape
        (4, 4)
    """
    points = _check(points)
    centres, halves = _from_five(points) if points.shape[-2] == 5 else _from_68(points)
    halves = np.maximum(halves, MIN_HALF_SIDE * face_size)[..., None]
    return np.concatenate([centres - halves, centres + halves], axis=-1).astype(np.float32)


def mirror_boxes(boxes: Boxes, width: float) -> Boxes:
    """Boxes (..., 4, 4), as from `boxes_from_landmarks`, of the mirrored face with this width."""
    mirrored = boxes[..., list(MIRRORED), :]  # a copy
    mirrored[..., [0, 2]] = width - mirrored[..., [2, 0]]
    return mirrored


def _check(landmarks: ArrayLike) -> np.ndarray:
    points = np.asarray(landmarks, dtype=np.float32)
    if points.ndim < 2 or points.shape[-1] != 2 or points.shape[-2] not in (5, 68):
        raise FacesError(f"expected 5 or 68 landmarks (..., 5|68, 2), got shape {points.shape}")
    if not np.isfinite(points).all():
        raise FacesError("expected finite landmarks, got NaN or infinity")
    return points


def _from_68(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = [points[..., LANDMARKS_68[name], :] for name in COMPONENTS]
    centres = np.stack([part.mean(-2) for part in parts], axis=-2)
    halves = np.stack([np.ptp(part, axis=-2).max(-1) / 2 for part in parts], axis=-1)
    return centres, halves


def _from_five(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    anchors, across, down, units = face_frame(points)
    x, y, half = np.array([FITTED[name] for name in COMPONENTS], dtype=np.float32).T
    offsets = x[:, None] * across[..., None, :] + y[:, None] * down[..., None, :]
    return anchors + offsets, half * units


def face_frame(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Anchors and units of the component boxes for five points (see `FITTED`).

    Returns:
        The components' anchors (..., 4, 2), `across` and `down`, each (..., 2), and the units of
        half sides (..., 4).
    """
    left, right, nose, mouth_left, mouth_right = np.moveaxis(points, -2, 0)
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    across, down = right - left, mouth - eyes
    straight = down / np.maximum(np.linalg.norm(down, axis=-1, keepdims=True), 1e-6)
    tip = nose - eyes
    sideways = tip - (tip * straight).sum(-1, keepdims=True) * straight
    anchors = np.stack([left, right, eyes + sideways, mouth], axis=-2)
    eye_distance = np.linalg.norm(across, axis=-1)
    mouth_width = np.linalg.norm(mouth_right - mouth_left, axis=-1)
    return anchors, across, down, np.stack([eye_distance] * 3 + [mouth_width], axis=-1)
