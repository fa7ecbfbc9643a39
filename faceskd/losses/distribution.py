"""Distance between the levels that two images have, wherever in a block they lie."""

import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError


class BlockDistribution(nn.Module):
    """Squared 2-Wasserstein distance between the levels of each block, of each channel:
    mean (s - h)^2, with s and h the block's sorted pixels (Rabin et al., SSVM 2011); images
    (B, 3, H, W) in [0, 1].

    Where 32x32 pixels do not say how a gaze is turned, every loss of pixels is least for an iris
    that is drawn out between all places, and so too light. This one asks for as much dark, and as
    much white, as there is; squares, because what is least in squares is right on average.

    Args:
        block: side of the blocks, px.
        pool: side of squares, px, whose means are compared in the place of pixels. Else dark and
            white can be met by dots one pixel wide, which a network finds.

    Raises:
        ConfigError: a block is no whole number of squares, or an image none of blocks.
    """

    def __init__(self, *, block: int = 16, pool: int = 1) -> None:
        super().__init__()
        if block % pool:
            raise ConfigError(f"expected blocks of whole squares of {pool} px, got {block} px")
        self.block = block
        self.pool = pool

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        height, width = hr.shape[-2:]
        if height % self.block or width % self.block:
            raise ConfigError(f"expected blocks of {self.block} px, got {width}x{height} pixels")
        return F.mse_loss(self._sorted(sr), self._sorted(hr))

    def _sorted(self, image: Tensor) -> Tensor:
        """Levels of each block in ascending order, one block a row."""
        means, side = F.avg_pool2d(image.float(), self.pool), self.block // self.pool
        return means.unfold(-2, side, side).unfold(-2, side, side).flatten(-2).sort().values
