"""Faces back into their photo.

What is added is not a face but what restoring adds to it (`faceskd.restore.octaves`). The pixels
of the photo are never resampled, and where nothing is added nothing changes. No edge shows, because
the addition fades to zero towards its border and holds neither light nor colour.

Coordinates are continuous pixels, as in `faceskd.faces.align`.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from faceskd.faces.align import transform_points
from faceskd.restore.octaves import SIZE, fade, frame_size


def add_faces(canvas: np.ndarray, faces: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Add to faces in a picture, in place; where their frames overlap, none is added to twice.

    Args:
        canvas: RGB uint8, (H, W, 3).
        faces: of each, what to add, float32 (256, 256, 3) in grey levels, and the (2, 3) matrix
            from `canvas` to its frame of 256 px.
    """
    for index, (addition, matrix) in enumerate(faces):
        left, top, right, bottom = _bounds(matrix, canvas.shape[1], canvas.shape[0])
        if left >= right or top >= bottom:
            continue
        x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
        mask = _mask(matrix, x, y)
        others = sum(
            _mask(other, x, y) for number, (_, other) in enumerate(faces) if number != index
        )
        weight = mask * mask / np.maximum(mask + others, 1e-6)
        region = canvas[top:bottom, left:right]
        added = weight[..., None] * _sample(addition, matrix, x, y)
        region[:] = np.clip(np.rint(region + added), 0, 255)


def _bounds(matrix: np.ndarray, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a picture that a frame covers: left, top, right, bottom."""
    corners = np.array([[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]])
    corners = transform_points(corners, cv2.invertAffineTransform(matrix))
    left, top = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int), (width, height))
    return int(left), int(top), int(right), int(bottom)


def _frame(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Where the points of a grid lie in a frame: two arrays (len(y), len(x)), float32."""
    return [(row[0] * x + (row[1] * y + row[2])[:, None]).astype(np.float32) for row in matrix]


def _mask(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    u, v = _frame(matrix, x, y)
    return fade(np.minimum(u, SIZE - u)) * fade(np.minimum(v, SIZE - v))


def _sample(addition: np.ndarray, matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """An addition at the points of a grid; where the grid is coarser, first averaged."""
    side = min(int(np.ceil(frame_size(matrix))), SIZE)
    if side < SIZE:
        addition = cv2.resize(addition, (side, side), interpolation=cv2.INTER_AREA)
    u, v = (position * np.float32(side / SIZE) - 0.5 for position in _frame(matrix, x, y))
    return cv2.remap(addition, u, v, cv2.INTER_CUBIC)
