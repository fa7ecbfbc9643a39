"""RCAN, the residual channel attention network.

Zhang, Li, Li, Wang, Zhong, Fu, "Image Super-Resolution Using Very Deep Residual Channel
Attention Networks", ECCV 2018, arXiv 1807.02758.

Changed: images are centred at 0 rather than at the mean colour of DIV2K; sub-pixel convolutions
start with equal kernels (`faceskd.models.upsampling`). 15.7 M parameters.
"""

from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.base import FeatureInfo, SuperResolver
from faceskd.models.blocks import conv3x3
from faceskd.models.upsampling import STRIDES, Upsampler


class ChannelAttention(nn.Module):
    """x * sigmoid(W_up ReLU(W_down mean(x))): one weight for each channel of (B, C, H, W)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // reduction, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // reduction, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weigh(x)


class AttentionBlock(nn.Module):
    """x + attention(conv(ReLU(conv(x)))): the RCAB of the paper."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv3x3(channels, channels),
            nn.ReLU(inplace=True),
            conv3x3(channels, channels),
            ChannelAttention(channels, reduction),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ResidualGroup(nn.Module):
    """Attention blocks and a convolution, with a skip connection around all of them."""

    def __init__(self, channels: int, blocks: int, reduction: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(AttentionBlock(channels, reduction) for _ in range(blocks)),
            conv3x3(channels, channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class RCAN(SuperResolver):
    """Residual groups with an outer skip connection (residual in residual), then three doublings.

    Args:
        width: channels of every feature map.
        groups: residual groups.
        blocks: attention blocks in each group.
        reduction: channels of the attention's bottleneck are `width // reduction`.

    Raises:
        ConfigError: the bottleneck would have no channel.

    Features: the body's output at stride 8, then the map after each doubling.
    """

    def __init__(
        self, *, width: int = 64, groups: int = 10, blocks: int = 20, reduction: int = 16
    ) -> None:
        super().__init__()
        if not 1 <= reduction <= width:
            raise ConfigError(f"expected reduction from 1 to width ({width}), got {reduction}")
        self.feature_info = [FeatureInfo(width, stride) for stride in STRIDES]
        self.head = conv3x3(3, width)
        self.body = nn.Sequential(
            *(ResidualGroup(width, blocks, reduction) for _ in range(groups)),
            conv3x3(width, width),
        )
        self.upsampler = Upsampler(width)
        self.tail = conv3x3(width, 3)

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        shallow = self.head(lr - 0.5)
        features = self.upsampler(shallow + self.body(shallow))
        return self.tail(features[-1]) + 0.5, features
