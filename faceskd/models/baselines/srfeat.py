"""SRFeat's generator.

Park, Son, Cho, Hong, Lee, "SRFeat: Single Image Super-Resolution with Feature Discrimination",
ECCV 2018.

Every residual block has a long-range skip connection, a learned 1x1 convolution, to the end of the
body, where all of them are summed. So the gradient reaches each block without passing the others.

Changed: a third doubling gives x8 instead of x4; images are centred at 0; sub-pixel convolutions
start with equal kernels (`faceskd.models.upsampling`). 6.8 M parameters.
"""

import torch
from torch import Tensor, nn

from faceskd.models.base import FeatureInfo, SuperResolver
from faceskd.models.baselines.srresnet import NormalizedBlock
from faceskd.models.blocks import SLOPE
from faceskd.models.upsampling import STRIDES, Upsampler


def _activation() -> nn.Module:
    return nn.LeakyReLU(SLOPE, inplace=True)


class LongRangeBody(nn.Module):
    """Residual blocks in sequence. The output is the sum of 1x1 convolutions of their outputs."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            NormalizedBlock(channels, activation=_activation) for _ in range(blocks)
        )
        self.skips = nn.ModuleList(nn.Conv2d(channels, channels, 1) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for block, skip in zip(self.blocks, self.skips, strict=True):
            x = block(x)
            total = total + skip(x)
        return total


class SRFeat(SuperResolver):
    """Residual blocks with long-range skip connections at LR size, then three doublings.

    Args:
        width: channels of every feature map.
        blocks: residual blocks.

    Features: the body's output at stride 8, then the map after each doubling.
    """

    def __init__(self, *, width: int = 128, blocks: int = 16) -> None:
        super().__init__()
        self.feature_info = [FeatureInfo(width, stride) for stride in STRIDES]
        self.head = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), _activation())
        self.body = LongRangeBody(width, blocks)
        self.upsampler = Upsampler(width)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        features = self.upsampler(self.body(self.head(lr - 0.5)))
        return self.tail(features[-1]) + 0.5, features
