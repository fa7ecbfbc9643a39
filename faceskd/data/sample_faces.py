"""A few LR faces, to compare exported networks and to measure time."""

from pathlib import Path

import numpy as np
from torch import Tensor

from faceskd.common.images import read_image, to_tensor
from faceskd.common.listing import list_images
from faceskd.faces.lr_faces import LR_SIZE, to_lr
from faceskd.portraits import render_portrait

PORTRAIT_SIZE = 128


def sample_lr_faces(count: int, folder: Path | str | None = None, *, size: int = LR_SIZE) -> Tensor:
    """LR faces, float32 in [0, 1], (count, 3, size, size).

    Args:
        count: number of faces; if the folder has fewer, they are repeated.
        folder: folder of aligned faces; None: synthetic portraits, always the same.

    Raises:
        FaceskdError: the folder does not exist, contains no image, or an image cannot be read.
    """
    if folder is None:
        side = max(PORTRAIT_SIZE, size)
        faces = [render_portrait(index, size=side).image for index in range(count)]
    else:
        paths = list_images(folder)
        faces = [read_image(paths[index % len(paths)]) for index in range(count)]
    return to_tensor(np.stack([to_lr(face, size) for face in faces]))
