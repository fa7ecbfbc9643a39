"""Reduce aligned faces to LR faces, the input of networks."""

import cv2
import numpy as np

LR_SIZE = 32


def to_lr(face: np.ndarray, lr_size: int = LR_SIZE) -> np.ndarray:
    """The LR face of an aligned face image: RGB uint8 (H, W, 3) -> (lr_size, lr_size, 3).

    The largest central square is reduced by area averaging, as in the last step of eq. 8. A smaller
    square is enlarged bicubically.

    Examples:
        >>> to_lr(np.zeros((218, 178, 3), np.uint8)).shape
        (32, 32, 3)
    """
    height, width = face.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = face[top : top + side, left : left + side]
    if side == lr_size:
        return square
    method = cv2.INTER_AREA if side > lr_size else cv2.INTER_CUBIC
    return cv2.resize(square, (lr_size, lr_size), interpolation=method)
