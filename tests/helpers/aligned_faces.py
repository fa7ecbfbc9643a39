"""Component boxes of an aligned face of 256 px, and a drawn face whose colours are known."""

import numpy as np
import torch
from skimage.color import lab2rgb

BOXES = np.array(
    [[64, 80, 104, 120], [148, 82, 192, 126], [112, 124, 140, 152], [102, 160, 150, 208]],
    np.float32,
)
POINTS = np.array([[88, 120], [168, 120], [128, 165], [92, 196], [164, 196]], np.float32)
LANDMARKS = torch.from_numpy(POINTS)[None]
SKIN, IRIS, WHITE = (62.0, 14.0, 18.0), (30.0, 8.0, 14.0), (88.0, 1.0, 4.0)

ROWS, COLUMNS = np.mgrid[:256, :256] + 0.5
EYES = np.minimum(np.hypot(COLUMNS - 88, ROWS - 120), np.hypot(COLUMNS - 168, ROWS - 120))


def draw(skin=SKIN, iris=IRIS):
    """A face of skin, with eyes that are half iris and half white; uint8 (256, 256, 3)."""
    lab = np.empty((256, 256, 3))
    lab[:] = skin
    lab[EYES < 20] = WHITE
    lab[EYES < 6.5] = iris
    return (lab2rgb(lab) * 255).round().astype(np.uint8)
