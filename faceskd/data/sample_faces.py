"""A few LR faces to try a network on: to compare exports, to time."""

from pathlib import Path

import numpy as np
from torch import Tensor

from faceskd.common.images import read_image, to_tensor
from faceskd.common.listing import list_images
from faceskd.faces.lr_faces import to_lr
from faceskd.portraits import render_portrait

PORTRAIT_SIZE = 128


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
