"""RRDBNet, the generator of ESRGAN.

Wang, Yu, Wu, Gu, Liu, Dong, Loy, Qiao, Tang, "ESRGAN: Enhanced Super-Resolution Generative
Adversarial Networks", ECCV 2018 workshops, arXiv 1809.00219.

Changed: by default, a third doubling (nearest, then convolution) gives x8 instead of x4; images are
centred at 0. 16.7 M parameters. At x4 it is also the network of RealSR (Ji et al., "Real-World
Super-Resolution via Kernel Estimation and Noise Injection", CVPR 2020 workshops).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.base import FeatureInfo, SuperResolver
from faceskd.models.blocks import SLOPE, conv3x3
from faceskd.models.upsampling import STRIDES

RESIDUAL_SCALE = 0.2
INIT_SCALE = 0.1
DENSE_LAYERS = 5
DENSE_BLOCKS = 3


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _small_conv(channels: int, out: int) -> nn.Conv2d:
    """A 3x3 convolution with a tenth of the Kaiming initialisation, as the paper advises."""
    conv = conv3x3(channels, out)
    nn.init.kaiming_normal_(conv.weight, a=SLOPE)
    with torch.no_grad():
        for parameter in conv.parameters():
            parameter.mul_(INIT_SCALE)
    return conv


class DenseBlock(nn.Module):
    """x + 0.2 * dense(x): five convolutions; each sees the input and all earlier ones."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _small_conv(channels + index * growth, growth if index < DENSE_LAYERS - 1 else channels)
            for index in range(DENSE_LAYERS)
        )

    def forward(self, x: Tensor) -> Tensor:
        known = x
        for layer in self.layers[:-1]:
            known = torch.cat([known, _leaky(layer(known))], dim=1)
        return x + RESIDUAL_SCALE * self.layers[-1](known)


class RRDB(nn.Module):
    """Residual in residual dense block: x + 0.2 * (three dense blocks of x)."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*(DenseBlock(channels, growth) for _ in range(DENSE_BLOCKS)))

    def forward(self, x: Tensor) -> Tensor:
        return x + RESIDUAL_SCALE * self.body(x)


class RRDBNet(SuperResolver):
    """RRDBs at LR size with one skip connection around all of them, then three doublings.

    Args:
        width: channels between blocks.
        growth: channels each layer of a dense block adds.
        blocks: number of RRDBs.
        scale: SR pixels per LR pixel along each side: 8, 4 or 2.

    Features: the body's output at stride `scale`, then the map after each doubling.

    Raises:
        ConfigError: there is no such scale.
    """

    def __init__(
        self, *, width: int = 64, growth: int = 32, blocks: int = 23, scale: int = STRIDES[0]
    ) -> None:
        super().__init__()
        if scale not in STRIDES[:-1]:
            raise ConfigError(f"expected a scale of 8, 4 or 2 for RRDBNet, got {scale!r}")
        strides = STRIDES[STRIDES.index(scale) :]
        self.scale, self.size = scale, 32 * scale
        self.feature_info = [FeatureInfo(width, stride) for stride in strides]
        self.head = conv3x3(3, width)
        self.body = nn.Sequential(
            *(RRDB(width, growth) for _ in range(blocks)), conv3x3(width, width)
        )
        self.ups = nn.ModuleList(conv3x3(width, width) for _ in strides[1:])
        self.last = conv3x3(width, width)
        self.tail = conv3x3(width, 3)

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        shallow = self.head(lr - 0.5)
        features = [shallow + self.body(shallow)]
        for conv in self.ups:
            enlarged = F.interpolate(features[-1], scale_factor=2, mode="nearest")
            features.append(_leaky(conv(enlarged)))
        return self.tail(_leaky(self.last(features[-1]))) + 0.5, features
