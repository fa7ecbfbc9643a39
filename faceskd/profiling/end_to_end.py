"""File-to-file passes: the time of a face including reading and writing PNG files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import Tensor

from faceskd.common.files import make_folder
from faceskd.common.images import read_image, to_tensor, to_uint8, write_image
from faceskd.faces.lr_faces import to_lr


class FileStore:
    """LR faces as PNG files in a folder, and passes that restore them.

    Args:
        lr: faces, float in [0, 1], (B, 3, 32, 32).
        folder: folder for the files, with subfolders `lr/` and `sr/`.
    """

    def __init__(self, lr: Tensor, folder: Path) -> None:
        make_folder(folder / "sr")
        self._pairs = []
        for number, face in enumerate(to_uint8(lr)):
            source, target = (folder / kind / f"{number}.png" for kind in ("lr", "sr"))
            write_image(source, face)
            self._pairs.append((source, target))

    def forward(self, restore: Callable[[Tensor], Tensor], count: int) -> Callable[[], None]:
        """A function that reads `count` files, restores them as one batch, and writes the results.

        Args:
            restore: function from LR faces (B, 3, 32, 32) on the CPU to SR faces.
            count: number of files.
        """
        sources, targets = zip(*self._pairs[:count], strict=True)

        def run() -> None:
            faces = np.stack([to_lr(read_image(path)) for path in sources])
            for path, image in zip(targets, to_uint8(restore(to_tensor(faces))), strict=True):
                write_image(path, image)

        return run
