"""Large pictures, searched in tiles that overlap."""

from collections.abc import Callable

import numpy as np

SAME_FACE = 0.5
"""Two detections are one face when they share this part of the smaller box."""

Found = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Boxes (N, 4), scores (N,) and points (N, 5, 2) of faces."""


def search_tiles(
    image: np.ndarray, side: int, overlap: int, search: Callable[[np.ndarray], Found]
) -> Found:
    """Faces of a picture that is too large to be searched at once, found in its tiles.

    A face that the border of a tile cuts is left to the neighbour, which has it whole if it is no
    larger than `overlap`; larger ones are not found.

    Args:
        image: RGB uint8, (H, W, 3).
        side: of a tile at most, in pixels.
        overlap: of neighbours, in pixels; less than `side`.
        search: finds faces of a tile, in pixels of it.

    Returns:
        Boxes, scores and points in pixels of the picture; faces of two tiles are in it twice.
    """
    height, width = image.shape[:2]
    parts = [
        _search_tile(image, rows, columns, search)
        for rows in spans(height, side, overlap)
        for columns in spans(width, side, overlap)
    ]
    return joined(parts)


def spans(length: int, side: int, overlap: int) -> list[slice]:
    """Where the tiles along a side of a picture lie: as few as can be, of about the same size.

    Examples:
        >>> spans(100, 60, 10), spans(50, 60, 10)
        ([slice(0, 55, None), slice(45, 100, None)], [slice(0, 50, None)])
    """
    count = max(int(np.ceil((length - overlap) / (side - overlap))), 1)
    step = max(length - overlap, 0) / count
    begins = [round(step * index) for index in range(count)]
    return [slice(begin, min(round(begin + step + overlap), length)) for begin in begins]


def joined(parts: list[Found]) -> Found:
    """Faces found in several ways, one after another."""
    boxes, scores, points = zip(*parts, strict=True)
    return np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)


def without_doubles(found: Found) -> Found:
    """Of detections that share `SAME_FACE` the one with the highest score; largest faces first."""
    boxes, scores, points = found
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        if all(shared(boxes[index], boxes[other]) < SAME_FACE for other in kept):
            kept.append(int(index))
    kept.sort(key=lambda index: -float(np.prod(boxes[index, 2:] - boxes[index, :2])))
    return boxes[kept], scores[kept], points[kept]


def shared(one: np.ndarray, other: np.ndarray) -> float:
    """The part of the smaller of two boxes that lies in the other, 0 to 1."""
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
