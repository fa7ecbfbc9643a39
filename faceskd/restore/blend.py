"""Blend restored faces into their photo.

For a face that was restored at 32 px, only the additional detail is added to the photo
(`faceskd.restore.octaves`). The pixels of the photo are not resampled, and stay exact where nothing
is added. A face that was restored in a frame (`faceskd.restore.frame_face`) also states how much is
kept of the detail that is too fine for the frame. Changes fade out towards the border of the frame.

Coordinates are continuous pixels, as in `faceskd.faces.align`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from faceskd.faces.align import transform_points
from faceskd.restore.octaves import FEATHER, SIZE, fade, frame_size

Bounds = tuple[int, int, int, int]
"""Left, top, right and bottom of a part of an image, px."""


class Patch(NamedTuple):
    """How a face changes an image.

    Attributes:
        addition: what to add to the enlarged photo, in grey levels, float32 (side, side, 3).
        matrix: maps the image to the frame of `side` px, (2, 3).
        crop: the photo within the frame, RGB uint8 (side, side, 3); only with `kept`.
        kept: how much is kept of the detail that the enlarged photo has and `crop` does not have,
            0 to 1, float32 (side, side); None for all of it.
        feather: width of the border over which the change fades out, as a share of `side`.
    """

    addition: np.ndarray
    matrix: np.ndarray
    crop: np.ndarray | None = None
    kept: np.ndarray | None = None
    feather: float = FEATHER / SIZE

    @property
    def side(self) -> int:
        return self.addition.shape[0]


def add_faces(
    canvas: np.ndarray,
    patches: Sequence[Patch],
    enlarged: Callable[[Bounds], np.ndarray] | None = None,
) -> None:
    """Blend faces into an image, in place. Where frames overlap, their weights add up to 1 at most.

    Args:
        canvas: RGB uint8, (H, W, 3).
        patches: one for each face.
        enlarged: returns a part of the photo, enlarged without a network, RGB uint8, to which the
            detail is added. None if `canvas` is this photo.
    """
    placed = [(patch, _bounds(patch, canvas.shape[1], canvas.shape[0])) for patch in patches]
    for number, (patch, bounds) in enumerate(placed):
        left, top, right, bottom = bounds
        if left >= right or top >= bottom:
            continue
        x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
        mask = _mask(patch, x, y)
        total, later = mask.copy(), np.zeros_like(mask)
        for place, (other, there) in enumerate(placed):
            if place != number and _meet(bounds, there):
                covered = _mask(other, x, y)
                total += covered
                if place > number:
                    later += covered * covered
        region = canvas[top:bottom, left:right]
        photo = region if enlarged is None else enlarged(bounds)
        change = _sample(patch.addition, patch.matrix, x, y)
        if patch.kept is not None and patch.crop is not None:
            lost = 1 - _sample(patch.kept, patch.matrix, x, y)[..., None]
            shown = _sample(patch.crop.astype(np.float32), patch.matrix, x, y)
            change -= lost * (photo.astype(np.float32) - shown)
        if enlarged is not None:
            # The canvas goes towards this face, and so away from those before it: the weight is
            # mask^2 / total, divided by what the weights of later faces leave of it.
            change += photo.astype(np.float32) - region
            total -= later
        weight = (mask * mask / np.maximum(total, 1e-6))[..., None]
        region[:] = np.clip(np.rint(region + weight * change), 0, 255)


def _meet(one: Bounds, other: Bounds) -> bool:
    """Whether two parts of an image overlap."""
    across = max(one[0], other[0]) < min(one[2], other[2])
    return across and max(one[1], other[1]) < min(one[3], other[3])


def _bounds(patch: Patch, width: int, height: int) -> Bounds:
    """The part of an image that a frame covers."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * patch.side
    corners = transform_points(corners, cv2.invertAffineTransform(patch.matrix))
    left, top = np.maximum(np.floor(corners.min(0)).astype(int), 0)
    right, bottom = np.minimum(np.ceil(corners.max(0)).astype(int), (width, height))
    return int(left), int(top), int(right), int(bottom)


def _frame(matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Positions of grid points in a frame: two arrays (len(y), len(x)), float32."""
    return [(row[0] * x + (row[1] * y + row[2])[:, None]).astype(np.float32) for row in matrix]


def _mask(patch: Patch, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    side, feather = patch.side, patch.feather * patch.side
    u, v = _frame(patch.matrix, x, y)
    return fade(np.minimum(u, side - u), feather) * fade(np.minimum(v, side - v), feather)


def _sample(values: np.ndarray, matrix: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Interpolate an array of a frame at grid points; if the grid is coarser, average first."""
    full = values.shape[0]
    side = min(int(np.ceil(frame_size(matrix, full))), full)
    if side < full:
        values = cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA)
    u, v = (position * np.float32(side / full) - 0.5 for position in _frame(matrix, x, y))
    return cv2.remap(values, u, v, cv2.INTER_CUBIC)
