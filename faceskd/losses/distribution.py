"""Distance between the levels that two images have, wherever in a block they lie."""

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

    Raises:
        ConfigError: an image is no whole number of blocks.
    """

    def __init__(self, *, block: int = 16) -> None:
        super().__init__()
        self.block = block

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        height, width = hr.shape[-2:]
        if height % self.block or width % self.block:
            raise ConfigError(f"expected blocks of {self.block} px, got {width}x{height} pixels")
        return F.mse_loss(self._sorted(sr), self._sorted(hr))

    def _sorted(self, image: Tensor) -> Tensor:
        """Levels of each block in ascending order, (..., block * block)."""
        blocks = image.float().unfold(-2, self.block, self.block).unfold(-2, self.block, self.block)
        return blocks.flatten(-2).sort().values
