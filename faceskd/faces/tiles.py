"""Search large pictures for faces in overlapping tiles."""

from collections.abc import Callable

import numpy as np

SAME_FACE = 0.5
"""Two detections are the same face if they share at least this part of the smaller box."""

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Boxes (N, 4), scores (N,) and points (N, 5, 2) of faces."""


def search_tiles(
    image: np.ndarray, side: int, overlap: int, search: Callable[[np.ndarray], Found]
) -> Found:
    """Find the faces of a picture in its tiles, because the picture is too large at once.

    Faces that are cut by the border of a tile are ignored there. The neighbouring tile contains the
    whole face if the face is not larger than `overlap`. Larger faces may not be found.

    Args:
        image: RGB uint8, (H, W, 3).
        side: largest side of a tile, in pixels.
        overlap: overlap of neighbouring tiles, in pixels; less than `side`.
        search: function that finds faces in a tile, in pixels of the tile.

    Returns:
        Boxes, scores and points in pixels of the picture. A face in two tiles is included twice.
    """
    height, width = image.shape[:2]
    parts = [
        _search_tile(image, rows, columns, search)
        for rows in spans(height, side, overlap)
        for columns in spans(width, side, overlap)
    ]
    return joined(parts)


def spans(length: int, side: int, overlap: int) -> list[slice]:
    """The tiles along one side of a picture: as few as possible, of about the same size.

    Examples:
        >>> spans(100, 60, 10), spans(50, 60, 10)
        ([slice(0, 55, None), slice(45, 100, None)], [slice(0, 50, None)])
    """
    count = max(int(np.ceil((length - overlap) / (side - overlap))), 1)
    step = max(length - overlap, 0) / count
    ends = [min(round(step * (index + 1) + overlap), length) for index in range(count)]
    return [slice(round(step * index), end) for index, end in enumerate(ends)]


def joined(parts: list[Found]) -> Found:
    """All faces of several searches."""
    boxes, scores, points = zip(*parts, strict=True)
    return np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)


def without_doubles(found: Found) -> Found:
    """For each face, only the detection with the highest score; largest faces first."""
    boxes, scores, points = found
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if all(shared(boxes[index], boxes[other]) < SAME_FACE for other in kept):
            kept.append(int(index))
    kept.sort(key=lambda index: -float(np.prod(boxes[index, 2:] - boxes[index, :2])))
    return boxes[kept], scores[kept], points[kept]


def shared(one: np.ndarray, other: np.ndarray) -> float:
    """The part of the smaller box that is inside the other box, 0 to 1."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    smaller = min(np.prod(one[2:] - one[:2]), np.prod(other[2:] - other[:2]))
    return float(np.prod(np.maximum(sides, 0)) / max(smaller, 1e-6))


def _search_tile(
    image: np.ndarray, rows: slice, columns: slice, search: Callable[[np.ndarray], Found]
) -> Found:
    height, width = image.shape[:2]
    boxes, scores, points = search(image[rows, columns])
    shift = np.array([columns.start, rows.start], np.float32)
    boxes, points = boxes + np.tile(shift, 2), points + shift
    inside = (
        ((boxes[:, 0] > columns.start) | (columns.start == 0))
        & ((boxes[:, 1] > rows.start) | (rows.start == 0))
        & ((boxes[:, 2] < columns.stop) | (columns.stop == width))
        & ((boxes[:, 3] < rows.stop) | (rows.stop == height))
    )
    return boxes[inside], scores[inside], points[inside]
