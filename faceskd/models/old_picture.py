"""Restore whole old photographs of any size.

The network restores all that ages a photo, in tiles of at most 512 px. Without its weights, what a
mask marks is filled in with OpenCV's inpainting: Telea, "An Image Inpainting Technique Based on the
Fast Marching Method", Journal of Graphics Tools 9 (1), 2004.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from faceskd.common.errors import ImageError, WeightsError
from faceskd.common.images import to_tensor
from faceskd.models.old_photo import OldPhotoNet
from faceskd.models.old_photo_vae import STRIDE
from faceskd.models.scratches import ScratchNet, load_scratches, scratch_mask
from faceskd.models.tiling import blended_tiles
from faceskd.models.weights import load_network

INPAINTING_RADIUS = 3
"""Pixels around a damaged one that Telea's method looks at."""


class OldPhoto:
    """Restores old photographs, with or without structural damage.

    Args:
        network: the network, in eval mode; None: structural damage is filled in with OpenCV's
            inpainting, and nothing else changes.
        detector: scratch detector, in eval mode; None: without a mask it is not known where photos
            have structural damage, and nothing is filled in by inpainting.
    """

    def __init__(self, network: OldPhotoNet | None, detector: ScratchNet | None = None) -> None:
        self.network = network
        self.detector = detector

    @classmethod
    def load(
        cls,
        weights: Path | str | None,
        scratches: Path | str | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> "OldPhoto":
        """From the weights of `experiment=old_mapping` and of `experiment=scratches`, if given.

        Raises:
            WeightsError: a file is missing or damaged, or is of another network.
        """
        return cls(
            None if weights is None else _load(weights).to(device),
            None if scratches is None else load_scratches(scratches).to(device),
        )

    def restore(
        self, picture: np.ndarray, mask: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Restore a picture.

        Args:
            picture: RGB uint8 (H, W, 3), of any size. If it is grey, the result is grey.
            mask: structural damage, uint8 (H, W): damaged from 128 on; None: the detector finds it,
                if there is one.

        Returns:
            The restored picture, RGB uint8 (H, W, 3), and the mask that was used, uint8 (H, W), 0
            or 255; without mask and detector it is 0. The mask can be edited and given again.

        Raises:
            ImageError: the mask is of another size or type.
        """
        if mask is None and self.detector is not None:
            mask = scratch_mask(self.detector, picture)
        known = mask is not None
        if mask is None:
            mask = np.zeros(picture.shape[:2], np.uint8)
        if mask.shape != picture.shape[:2] or mask.dtype != np.uint8:
            (height, width), got = picture.shape[:2], f"{mask.dtype} {mask.shape}"
            raise ImageError(f"expected a mask as uint8 of ({height}, {width}), got {got}")
        used = np.where(mask >= 128, 255, 0).astype(np.uint8)
        if self.network is None:
            result = cv2.inpaint(picture, used, INPAINTING_RADIUS, cv2.INPAINT_TELEA)
        else:
            result = _restored(self.network, picture, used if known else None)
        if (picture == picture[..., :1]).all():
            result = cv2.cvtColor(cv2.cvtColor(result, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return result, used


def _load(weights: Path | str) -> OldPhotoNet:
    network = load_network(weights)
    if not isinstance(network, OldPhotoNet):
        raise WeightsError(
            f"expected a network for old photos in {str(weights)!r}, got a "
            f"{type(network).__name__}: `faceskd train experiment=old_mapping` trains one"
        )
    return network


def _restored(network: OldPhotoNet, picture: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    device = next(network.parameters()).device

    def improved(part: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        marked = None
        if mask is not None:
            marked = to_tensor(mask[rows, columns, None][None]).to(device)
        with torch.inference_mode():
            sr = network(to_tensor(part[None]).to(device), mask=marked)
        return 255 * sr[0].float().clamp(0, 1).movedim(0, -1).cpu().numpy()

    return blended_tiles(picture, improved, channels=3, stride=STRIDE)
