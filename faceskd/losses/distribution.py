"""Distance between the levels that two images have, wherever in a block they lie."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.errors import ConfigError


class BlockDistribution(nn.Module):
    """Squared 2-Wasserstein distance between the levels of each block, of each channel:
    mean (s - h)^2, with s and h the block's sorted pixels (Rabin et al., SSVM 2011); images
    (B, 3, H, W) in [0, 1].

    Where 32x32 pixels do not say how a gaze is turned, every loss of pixels is least for an iris
    that is drawn out between all places, and so too light. This one asks for as much dark, and as
    much white, as there is; squares, because what is least in squares is right on average.

    Args:
        block: side of the blocks, px.
        box: left, top, right, bottom, px: what of aligned faces is compared. None is all.

    Raises:
        ConfigError: the box is no whole number of blocks, or images do not hold it.
    """

    def __init__(self, *, block: int = 16, box: Sequence[int] | None = None) -> None:
        super().__init__()
        if box is not None:
            left, top, right, bottom = box
            if right <= left or bottom <= top or (right - left) % block or (bottom - top) % block:
                raise ConfigError(f"expected a box of blocks of {block} px, got {list(box)}")
        self.block = block
        self.box = tuple(box) if box is not None else None

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        if self.box is not None:
            left, top, right, bottom = self.box
            if hr.shape[-1] < right or hr.shape[-2] < bottom:
                raise ConfigError(
                    f"expected images that hold the box {list(self.box)}, got "
                    f"{hr.shape[-1]}x{hr.shape[-2]} pixels"
                )
            sr, hr = (image[..., top:bottom, left:right] for image in (sr, hr))
        return F.mse_loss(self._sorted(sr), self._sorted(hr))

    def _sorted(self, image: Tensor) -> Tensor:
        """Levels of each block in ascending order, (..., block * block)."""
        blocks = image.float().unfold(-2, self.block, self.block).unfold(-2, self.block, self.block)
        return blocks.flatten(-2).sort().values
