"""Convert the input of a `Restorer`: paths, PIL images and arrays."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from faceskd.common.errors import ImageError
from faceskd.common.images import from_pil, read_image

Picture = str | Path | Image.Image | np.ndarray
"""A path, a PIL image of any mode, or an RGB uint8 array (H, W, 3)."""


def to_picture(image: Picture) -> np.ndarray:
    """A picture as RGB uint8 (H, W, 3).

    Raises:
        ImageError: the file cannot be read, or the array has another type or shape.
    """
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        return from_pil(image)
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"expected a path, a PIL image or a numpy array, got {type(image).__name__}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ImageError(f"expected RGB uint8, (H, W, 3), got {image.dtype} {image.shape}")
    if 0 in image.shape:
        raise ImageError(f"expected at least one pixel, got the shape {image.shape}")
    return image


def check_face(face: Any, side: int) -> None:
    """Check that the input is a face of the size that a network takes.

    Raises:
        ImageError: it is not an array of RGB uint8 (side, side, 3).
    """
    kind = f"{face.dtype} {face.shape}" if isinstance(face, np.ndarray) else type(face).__name__
    shape = (side, side, 3)
    if kind != f"uint8 {shape}":
        raise ImageError(
            f"expected faces as RGB uint8 {shape}, 0 to 255, got {kind}; faces of other sizes go "
            "through Restorer.aligned"
        )
