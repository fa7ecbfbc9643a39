"""Faces back into their photo.

Of a face that was restored at 32 px, what is added is not a face but what restoring adds to it
(`faceskd.restore.octaves`): the pixels of the photo are never resampled, and where nothing is added
nothing changes. A face that was restored in a frame of its own (`faceskd.restore.frame_face`) also
says how much stays of what the frame cannot hold. Towards the border of a frame all fades out.

Coordinates are continuous pixels, as in `faceskd.faces.align`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from faceskd.faces.align import transform_points
from faceskd.restore.octaves import FEATHER, SIZE, fade, frame_size

Bounds = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of a picture, px."""


class Patch(NamedTuple):
    """What becomes of a face in a picture.

    Attributes:
        addition: what to add to the enlarged photo, float32 (side, side, 3), grey levels.
        matrix: (2, 3), from the picture to the frame of `side` px.
        crop: what the frame shows of the photo, RGB uint8 (side, side, 3); only with `kept`.
        kept: of what the enlarged photo has beyond `crop`, the share that stays, float32
            (side, side); None: all of it.
    """

    addition: np.ndarray
    matrix: np.ndarray
    crop: np.ndarray | None = None
    kept: np.ndarray | None = None

    @property
    def side(self) -> int:
        return self.addition.shape[0]


def add_faces(
    canvas: np.ndarray,
    patches: Sequence[Patch],
    enlarged: Callable[[Bounds], np.ndarray] | None = None,
) -> None:
    """Put faces into a picture, in place; where their frames overlap, none is added to twice.

    Args:
        canvas: RGB uint8, (H, W, 3).
        patches: one for each face.
        enlarged: gives a part of the plainly enlarged photo, RGB uint8, which is what is added to;
            None: `canvas` is that photo.
    """
    for index, patch in enumerate(patches):
        bounds = left, top, right, bottom = _bounds(patch, canvas.shape[1], canvas.shape[0])
        if left >= right or top >= bottom:
            continue
        x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
        mask = _mask(patch, x, y)
        others = sum(_mask(other, x, y) for number, other in enumerate(patches) if number != index)
        weight = (mask * mask / np.maximum(mask + others, 1e-6))[..., None]
        region = canvas[top:bottom, left:right]
        photo = region if enlarged is None else enlarged(bounds)
        change = _sample(patch.addition, patch.matrix, x, y)
        if patch.kept is not None and patch.crop is not None:
            lost = 1 - _sample(patch.kept, patch.matrix, x, y)[..., None]
            shown = _sample(patch.crop.astype(np.float32), patch.matrix, x, y)
            change -= lost * (photo.astype(np.float32) - shown)
        if enlarged is not None:
            change += photo.astype(np.float32) - region
        region[:] = np.clip(np.rint(region + weight * change), 0, 255)


def _bounds(patch: Patch, width: int, height: int) -> Bounds:
    """The part of a picture that a frame covers."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * patch.side
    corners = transform_points(corners, cv2.invertAffineTransform(patch.matrix))
    left, top = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int), (width, height))
    return int(left), int(top), int(right), int(bottom)


def _frame(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Where the points of a grid lie in a frame: two arrays (len(y), len(x)), float32."""
    return [(row[0] * x + (row[1] * y + row[2])[:, None]).astype(np.float32) for row in matrix]


def _mask(patch: Patch, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    side, feather = patch.side, FEATHER * patch.side / SIZE
    u, v = _frame(patch.matrix, x, y)
    return fade(np.minimum(u, side - u), feather) * fade(np.minimum(v, side - v), feather)


def _sample(values: np.ndarray, matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """An array of a frame at the points of a grid; where the grid is coarser, first averaged."""
    full = values.shape[0]
    side = min(int(np.ceil(frame_size(matrix, full))), full)
    if side < full:
        values = cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)
    u, v = (position * np.float32(side / full) - 0.5 for position in _frame(matrix, x, y))
    return cv2.remap(values, u, v, cv2.INTER_CUBIC)
