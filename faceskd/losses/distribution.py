"""Distance between the brightness distributions of two images, block by block."""

import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError


class BlockDistribution(nn.Module):
    """Squared 2-Wasserstein distance between the pixel values of each block, for each channel.

    mean (s - h)^2, where s and h are the sorted pixel values of a block (Rabin et al., SSVM 2011).
    Images are (B, 3, H, W) in [0, 1].

    It is used for the eyes. A 32x32 face does not determine the direction of the gaze. Every pixel
    loss is then smallest for an iris averaged over all possible positions, which is too light. This
    loss ignores positions within a block and only compares how much dark and white there is. It is
    squared because its minimum is then correct on average.

    Args:
        block: side of the blocks, px.
        pool: means of pool x pool px are compared instead of pixels. With 1, networks fit the dark
            and white values with dots one pixel wide.

    Raises:
        ConfigError: `block` is not a multiple of `pool`, or the sides of an image are not multiples
            of `block`.
    """

    def __init__(self, *, block: int = 16, pool: int = 1) -> None:
        super().__init__()
        if block % pool:
            raise ConfigError(f"expected block to be a multiple of pool={pool}, got {block} px")
        self.block = block
        self.pool = pool

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        height, width = hr.shape[-2:]
        if height % self.block or width % self.block:
            raise ConfigError(
                f"expected image sides in multiples of {self.block} px, got {width}x{height} pixels"
            )
        return F.mse_loss(self._sorted(sr), self._sorted(hr))

    def _sorted(self, image: Tensor) -> Tensor:
        """Sorted values of each block, one block per row."""
        means, side = F.avg_pool2d(image.float(), self.pool), self.block // self.pool
        return means.unfold(-2, side, side).unfold(-2, side, side).flatten(-2).sort().values
