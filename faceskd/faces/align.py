"""Cut an upright, aligned face out of a photo: similarity crops and box crops.

Coordinates are continuous pixels: (0, 0) is the outer corner of the first pixel, and its centre is
(0.5, 0.5). A matrix is (2, 3) float64 and maps points of the photo to points of the crop.
"""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from faceskd.common.errors import ConfigError
from faceskd.faces.components import five_points
from faceskd.faces.detection import Face

FFHQ_POINTS = (
    (192.98, 239.95),
    (318.90, 240.19),
    (256.63, 314.02),
    (201.26, 371.41),
    (313.09, 371.15),
)
"""The five points in a 512 px FFHQ face (Karras et al., CVPR 2019)."""

FFHQ_SIZE = 512
TEMPLATE_SCALE = 1.25
"""Crops are tighter than FFHQ's, which often extend beyond the border of closely cropped portraits.

Of 667 studio portraits 452 px wide, 93 % need less than 2 % of padding at a scale of 1.25, and 97 %
less than 5 %. At FFHQ's own scale of 1.0 these are 39 % and 62 %.
"""


def template(size: int = 256, scale: float = TEMPLATE_SCALE) -> np.ndarray:
    """The five points of an aligned face of `size` pixels, (5, 2) float64.

    `scale` enlarges FFHQ's template around the centre of the crop. Above 1, the face fills more of
    the crop than in FFHQ.

    Raises:
        ConfigError: the scale is outside [0.5, 3].

    Examples:
        >>> template(512, scale=1.0)[0].tolist()
        [192.98, 239.95]
    """
    if not 0.5 <= scale <= 3:
        raise ConfigError(f"expected template_scale from 0.5 to 3 (1 is FFHQ's frame), got {scale}")
    centre = FFHQ_SIZE / 2
    return ((np.array(FFHQ_POINTS) - centre) * scale + centre) * size / FFHQ_SIZE


def fit_similarity(source: ArrayLike, target: ArrayLike) -> np.ndarray:
    """The rotation, scale and shift that map `source` to `target` with the least squared error.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    IEEE TPAMI 13(4), 1991. It never mirrors.

    Args:
        source: points (N, 2), not all the same.
        target: points (N, 2).

    Returns:
        Matrix (2, 3), float64.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    centred = source - source_mean
    u, singular, vt = np.linalg.svd((target - target_mean).T @ centred / len(source))
    sign = np.array([1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (singular * sign).sum() / max(centred.var(axis=0).sum(), 1e-12)
    linear = scale * (u * sign) @ vt
    return np.column_stack([linear, target_mean - linear @ source_mean])


def transform_points(points: ArrayLike, matrix: np.ndarray) -> np.ndarray:
    """Map points (..., 2) by a matrix (2, 3); float32.

    Examples:
        >>> transform_points([[1, 2]], np.array([[2, 0, 5], [0, 2, 0]])).tolist()
        [[7.0, 4.0]]
    """
    points = np.asarray(points, dtype=np.float64)
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def warp(image: np.ndarray, matrix: np.ndarray, size: int = 256) -> np.ndarray:
    """Cut out the part of `image` that the similarity `matrix` maps to a square of `size` pixels.

    If the crop is smaller than the part it shows, this part is first reduced with an antialiased
    Lanczos filter, so that the warp does not alias. Beyond its border the image is continued by
    reflection.

    Args:
        image: RGB uint8, (H, W, 3).
        matrix: (2, 3), from the image to the crop.
        size: side of the crop in pixels.

    Returns:
        RGB uint8, (size, size, 3).
    """
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 1:
        image, matrix = _shrink(image, matrix, scale, size)
    # OpenCV loops forever when it reflects a single row or column.
    border = cv2.BORDER_REFLECT_101 if min(image.shape[:2]) > 1 else cv2.BORDER_REPLICATE
    return cv2.warpAffine(
        image,
        _to_pixel_centres(matrix),
        (size, size),
        flags=cv2.INTER_CUBIC,
        borderMode=border,
    )


def _shrink(
    image: np.ndarray, matrix: np.ndarray, scale: float, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reduce the part of the image that the crop shows by `scale`; returns it and its matrix."""
    height, width = image.shape[:2]
    inverse = cv2.invertAffineTransform(matrix)
    corners = transform_points([[0, 0], [size, 0], [0, size], [size, size]], inverse)
    # Reflection reads as far inside the image as the crop extends outside; keep that part, too.
    outside = np.maximum(-corners.min(0), corners.max(0) - (width, height)).max()
    margin = 8 / scale + max(float(outside), 0)
    left, top = np.clip(np.floor(corners.min(0) - margin), 0, (width - 1, height - 1)).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0) + margin), 1, (width, height)).astype(int)
    region = Image.fromarray(image[top:bottom, left:right])
    new = [max(round(side * scale), 1) for side in region.size]
    resized = np.asarray(region.resize(new, Image.Resampling.LANCZOS, reducing_gap=3.0))
    linear = matrix[:, :2] * np.array(region.size) / np.array(new)
    return resized, np.column_stack([linear, matrix @ (left, top, 1)])


def _to_pixel_centres(matrix: np.ndarray) -> np.ndarray:
    """Convert to OpenCV's coordinates, in which pixel centres are whole numbers."""
    shifted = matrix.astype(np.float64).copy()
    shifted[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    return shifted


def similarity_crop(
    image: np.ndarray,
    landmarks: ArrayLike,
    size: int = 256,
    *,
    template_scale: float = TEMPLATE_SCALE,
) -> tuple[np.ndarray, np.ndarray]:
    """The upright crop of a face, with its five points at those of the template.

    Args:
        image: RGB uint8, (H, W, 3).
        landmarks: 5 or 68 points in pixels of the image.
        size: side of the crop in pixels.
        template_scale: above 1, the face fills more of the crop than in FFHQ.

    Returns:
        The crop, RGB uint8 (size, size, 3), and the (2, 3) matrix that made it.
    """
    matrix = fit_similarity(five_points(landmarks), template(size, template_scale))
    return warp(image, matrix, size), matrix


def box_crop(
    image: np.ndarray, box: ArrayLike, size: int = 256, *, margin: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """The square around the box of a face, as in Jo et al. 2021: no rotation, no landmarks.

    Args:
        image: RGB uint8, (H, W, 3).
        box: x1, y1, x2, y2 in pixels of the image.
        size: side of the crop in pixels.
        margin: margin on each side, as a share of the longer side of the box.

    Returns:
        The crop, RGB uint8 (size, size, 3), and the (2, 3) matrix that made it.
    """
    x1, y1, x2, y2 = np.asarray(box, dtype=np.float64)
    side = max(x2 - x1, y2 - y1, 1.0) * (1 + 2 * margin)
    scale = size / side
    shift = size / 2 - scale * np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    matrix = np.column_stack([scale * np.eye(2), shift])
    return warp(image, matrix, size), matrix


class Crop(Protocol):
    """How a face is cut out. `aligned` says that the pictures are aligned faces already."""

    aligned: bool

    def __call__(self, image: np.ndarray, face: Face, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The crop and its matrix."""


@dataclass(frozen=True)
class SimilarityCrop:
    """`similarity_crop` as a setting."""

    template_scale: float = TEMPLATE_SCALE
    aligned = False

    def __call__(self, image: np.ndarray, face: Face, size: int) -> tuple[np.ndarray, np.ndarray]:
        return similarity_crop(image, face.landmarks, size, template_scale=self.template_scale)


@dataclass(frozen=True)
class BoxCrop:
    """`box_crop` as a setting."""

    margin: float = 0.1
    aligned = False

    def __call__(self, image: np.ndarray, face: Face, size: int) -> tuple[np.ndarray, np.ndarray]:
        return box_crop(image, face.box, size, margin=self.margin)


@dataclass(frozen=True)
class AlignedCrop:
    """For pictures that are aligned faces: resizes the largest central square.

    If the detector finds no face, the five points are those of the template with `template_scale`.
    """

    template_scale: float = TEMPLATE_SCALE
    aligned = True

    def __call__(self, image: np.ndarray, face: Face, size: int) -> tuple[np.ndarray, np.ndarray]:
        return box_crop(image, face.box, size, margin=0)
