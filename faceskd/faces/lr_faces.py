"""LR faces from aligned ones, as every command that runs a network wants them."""

from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from faceskd.common.images import list_images, read_image, to_tensor
from faceskd.portraits import render_portrait

LR_SIZE = 32
PORTRAIT_SIZE = 128


def to_lr(face: np.ndarray) -> np.ndarray:
    """The LR face of an aligned face image: RGB uint8 (H, W, 3) -> (32, 32, 3).

    The largest central square is averaged over areas, as the last step of eq. 8 does; where it
    is smaller than 32 pixels it is enlarged by bicubic interpolation.

    Examples:
        >>> to_lr(np.zeros((218, 178, 3), np.uint8)).shape
        (32, 32, 3)
    """
    height, width = face.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = face[top : top + side, left : left + side]
    if side == LR_SIZE:
        return square
    method = cv2.INTER_AREA if side > LR_SIZE else cv2.INTER_CUBIC
    return cv2.resize(square, (LR_SIZE, LR_SIZE), interpolation=method)


def sample_lr_faces(count: int, folder: Path | str | None = None) -> Tensor:
    """LR faces to try a network on, float32 in [0, 1], (count, 3, 32, 32).

    Args:
        count: how many; a folder with fewer is gone through again.
        folder: aligned faces; None draws synthetic portraits, the same every time.

    Raises:
        FaceskdError: there is no such folder, it holds no image, or one cannot be read.
    """
    if folder is None:
        faces = [render_portrait(index, size=PORTRAIT_SIZE).image for index in range(count)]
    else:
        paths = list_images(folder)
        faces = [read_image(paths[index % len(paths)]) for index in range(count)]
    return to_tensor(np.stack([to_lr(face) for face in faces]))
