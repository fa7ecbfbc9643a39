"""Run a network over a picture of any size in overlapping tiles, without visible seams."""

import math
from collections.abc import Callable

import numpy as np

from faceskd.faces.tiles import spans

TILE, OVERLAP = 512, 96
"""Side of the largest tile, and overlap of neighbouring tiles, in px."""


def blended_tiles(
    picture: np.ndarray,
    function: Callable[[np.ndarray, slice, slice], np.ndarray],
    *,
    channels: int,
    tile: int = TILE,
    overlap: int = OVERLAP,
    stride: int = 1,
) -> np.ndarray:
    """What a function makes of a picture's tiles, blended linearly where they overlap.

    Beside picture and result, memory is needed for one row of tiles only.

    Args:
        picture: uint8 (H, W, 3).
        function: from a part of the picture (h, w, 3), with the rows and columns where it lies, to
            float32 (h, w, channels), 0 to 255.
        channels: channels of the result.
        tile, overlap: largest side and overlap of the tiles, in px.
        stride: tiles begin at multiples of it, as the cells of the network's maps do, in px.

    Returns:
        uint8 (H, W, channels).
    """
    height, width = picture.shape[:2]
    result = np.empty((height, width, channels), np.uint8)
    above = 0  # where the finished rows end
    for rows in _spans(height, tile, overlap, stride):
        strip = np.empty((rows.stop - rows.start, width, channels), np.float32)
        before = 0  # where the finished columns end
        for columns in _spans(width, tile, overlap, stride):
            made = function(picture[rows, columns], rows, columns)
            ramp = _ramp(before - columns.start)[None, :, None]
            shared = strip[:, columns.start : before]
            shared += ramp * (made[:, : len(ramp[0])] - shared)
            strip[:, before : columns.stop] = made[:, len(ramp[0]) :]
            before = columns.stop
        ramp = _ramp(above - rows.start)[:, None, None]
        finished = result[rows.start : above].astype(np.float32)
        strip[: len(ramp)] = finished + ramp * (strip[: len(ramp)] - finished)
        result[rows] = np.clip(strip, 0, 255).round().astype(np.uint8)
        above = rows.stop
    return result


def _spans(length: int, tile: int, overlap: int, stride: int) -> list[slice]:
    cells = spans(math.ceil(length / stride), tile // stride, overlap // stride)
    return [slice(stride * each.start, min(stride * each.stop, length)) for each in cells]


def _ramp(length: int) -> np.ndarray:
    """Weights of the later of two tiles in the pixels that both have, from 0 to 1."""
    return ((np.arange(length) + 0.5) / max(length, 1)).astype(np.float32)
