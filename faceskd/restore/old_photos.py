"""Repair old photographs before their faces are restored; masks of scratches can be given back."""

import glob
import threading
from pathlib import Path

import numpy as np

from faceskd.common.decoding import is_image
from faceskd.common.errors import ConfigError, ImageError
from faceskd.common.machine import checked_device
from faceskd.models.old_picture import OldPhoto
from faceskd.restore.photo_files import read_photo


def read_mask(path: Path | str) -> np.ndarray:
    """A mask as uint8 (H, W): the brightest channel of each pixel, so that any bright paint marks.

    Transparent pixels are black, however they are coloured.

    Raises:
        ImageError: the file cannot be read.
    """
    photo = read_photo(path)
    brightest: np.ndarray = photo.image.max(axis=2)
    if photo.alpha is not None:
        brightest = (brightest.astype(np.uint16) * photo.alpha // 255).astype(np.uint8)
    return brightest


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
            the user where a mask is missing or marks nothing, else an empty text.

        Raises:
            ImageError: the mask cannot be read, has another size than the photo, or is missing
                where nothing else can repair the photo.
        """
        mask = self._mask(picture, name)
        message = self._missing(name) if mask is None else ""
        with self._running:
            repaired, used = self._old_photo.restore(picture, mask)
        if mask is not None and not used.any():
            message = f"the mask {name}.png marks nothing: paint what is damaged in white"
        return repaired, used, message

    def _mask(self, picture: np.ndarray, name: str) -> np.ndarray | None:
        """The mask of a photo; None where there is none."""
        if self._masks is None or not (path := self._masks / f"{name}.png").is_file():
            return None
        mask = read_mask(path)
        if mask.shape != picture.shape[:2]:
            (height, width), (wanted_height, wanted_width) = mask.shape, picture.shape[:2]
            raise ImageError(
                f"the mask {name}.png is {width}x{height} pixels, the photo "
                f"{wanted_width}x{wanted_height}: give a mask of the photo's size"
            )
        return mask

    def _missing(self, name: str) -> str:
        """What to tell the user of a photo without a mask; nothing where a detector is enough."""
        if self._masks is None:
            return ""
        path = self._masks / f"{name}.png"
        others = sorted(path.parent.glob(f"{glob.escape(path.stem)}.*"))
        named = [other.name for other in others if other.stem == path.stem and is_image(other)]
        detects = self._old_photo.detector is not None
        if detects and not named:
            return ""
        found = ", ".join(named) or "none"
        message = f"expected a mask {name}.png in {str(self._masks)!r}, found {found}: "
        if detects:
            return f"{message}scratches were searched instead"
        if self._old_photo.network is None:
            raise ImageError(f"{message}without weights, only what a mask marks can be repaired")
        return f"{message}its scratches are not marked"
