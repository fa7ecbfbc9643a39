"""Repair old photographs before their faces are restored; masks of scratches can be given back."""

import threading
from pathlib import Path

import numpy as np

from faceskd.common.decoding import open_image
from faceskd.common.errors import ConfigError, ImageError
from faceskd.common.machine import checked_device
from faceskd.models.old_picture import OldPhoto


class Repair:
    """Repairs whole old photos (`faceskd.models.old_picture.OldPhoto`).

    Args:
        weights: file of the network for old photos; None: what is hidden is filled in with OpenCV's
            inpainting, and nothing else changes.
        scratches: file of the scratch detector; None: without a mask, a photo has no scratches.
        masks: folder of masks, `NAME.png` for the input `NAME`, in place of the detector's.
        device: where the networks run: "cpu", "cuda", "cuda:1", ...

    Raises:
        ConfigError: `masks` is no folder, or there is no such device.
        WeightsError: a file is missing or damaged, or is of another network.
    """

    def __init__(
        self,
        weights: Path | str | None,
        *,
        scratches: Path | str | None = None,
        masks: Path | str | None = None,
        device: str = "cpu",
    ) -> None:
        if masks is not None and not Path(masks).is_dir():
            raise ConfigError(f"expected a folder of masks, found none at {str(masks)!r}")
        self._old_photo = OldPhoto.load(weights, scratches, device=checked_device(device))
        self._masks = None if masks is None else Path(masks)
        self._running = threading.Lock()  # one photo at a time uses all processor cores already

    def __call__(self, picture: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray, str]:
        """Repair a photo, RGB uint8 (H, W, 3).

        Returns:
            The repaired photo; the mask that was used, uint8 (H, W), 0 or 255; and a message for
            the user where a mask is missing, else an empty text.

        Raises:
            ImageError: the mask cannot be read, has another size than the photo, or is missing
                where nothing else can repair the photo.
        """
        mask, message = None, ""
        if self._masks is not None and (path := self._masks / f"{name}.png").is_file():
            with open_image(path) as file:
                mask = np.array(file.convert("L"))
        elif self._masks is not None and self._old_photo.detector is None:
            message = f"expected a mask {name}.png in {str(self._masks)!r}, found none: "
            if self._old_photo.network is None:
                raise ImageError(
                    f"{message}without weights, only what a mask marks can be repaired"
                )
            message += "its scratches were left"
        with self._running:
            return *self._old_photo.restore(picture, mask), message
