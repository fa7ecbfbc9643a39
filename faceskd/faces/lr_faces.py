"""Reduce aligned faces to LR faces, the input of networks."""

import cv2
import numpy as np

LR_SIZE = 32


def to_lr(face: np.ndarray) -> np.ndarray:
    """The LR face of an aligned face image: RGB uint8 (H, W, 3) -> (32, 32, 3).

    The largest central square is reduced by area averaging, as in the last step of eq. 8. A square
    smaller than 32 px is enlarged bicubically.

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
