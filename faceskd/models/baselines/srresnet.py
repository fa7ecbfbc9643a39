"""SRResNet, the generator of SRGAN.

Ledig, Theis, Huszár, Caballero, Cunningham, Acosta, Aitken, Tejani, Totz, Wang, Shi,
"Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network",
CVPR 2017, arXiv 1609.04802.

Changed: a third doubling gives x8 instead of x4; images are centred at 0; sub-pixel convolutions
start with equal kernels (`faceskd.models.upsampling`). 1.7 M parameters.
"""

from collections.abc import Callable

from torch import Tensor, nn

from faceskd.models.base import FeatureInfo, SuperResolver
from faceskd.models.upsampling import STRIDES, Upsampler


class NormalizedBlock(nn.Module):
    """x + BN(conv(activation(BN(conv(x))))); maps (B, C, H, W) to the same shape."""

    def __init__(self, channels: int, *, activation: Callable[[], nn.Module] = nn.PReLU) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            activation(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class SRResNet(SuperResolver):
    """Residual blocks at LR size with one skip connection around all of them, then three doublings.

    Args:
        width: channels of every feature map.
        blocks: residual blocks.

    Features: the body's output at stride 8, then the map after each doubling.
    """

    def __init__(self, *, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        self.feature_info = [FeatureInfo(width, stride) for stride in STRIDES]
        self.head = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(
            *(NormalizedBlock(width) for _ in range(blocks)),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.upsampler = Upsampler(width, activation=nn.PReLU)
        self.tail = nn.Conv2d(width, 3, 9, padding=4)

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        shallow = self.head(lr - 0.5)
        features = self.upsampler(shallow + self.body(shallow))
        return self.tail(features[-1]) + 0.5, features
