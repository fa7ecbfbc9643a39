"""RDN, the residual dense network.

Zhang, Tian, Kong, Zhong, Fu, "Residual Dense Network for Image Super-Resolution", CVPR 2018,
arXiv 1802.08797. In the paper's notation: D blocks of C layers, growth rate G, G0 channels between
the blocks. Here D = 16, C = 8, G = G0 = 64.

Changed: three doublings; images are centred at 0; sub-pixel convolutions start with equal kernels
(`faceskd.models.upsampling`). 22.4 M parameters.

With scale 1, there are no doublings and the input is added to the output, as in the authors'
networks against noise and JPEG artefacts ("Residual Dense Network for Image Restoration", TPAMI
2020, arXiv 1812.10477).
"""

import torch
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.base import FeatureInfo, SuperResolver
from faceskd.models.blocks import conv3x3
from faceskd.models.upsampling import STRIDES, Upsampler


class ResidualDenseBlock(nn.Module):
    """Each layer sees the block's input and all earlier layers; a 1x1 convolution fuses them.

    The result is added to the input (local residual learning). Maps (B, C, H, W) keep their shape.
    """

    def __init__(self, channels: int, growth: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            conv3x3(channels + index * growth, growth) for index in range(layers)
        )
        self.fuse = nn.Conv2d(channels + layers * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        known = x
        for layer in self.layers:
            known = torch.cat([known, torch.relu(layer(known))], dim=1)
        return x + self.fuse(known)


class RDN(SuperResolver):
    """Residual dense blocks, fusion of all their outputs, then three doublings.

    Args:
        width: channels between blocks (G0).
        growth: channels each layer of a block adds (G).
        blocks: residual dense blocks (D).
        layers: convolutions in each block (C).
        scale: 8, or 1 for a network that improves pictures at their size.

    Features: the body's output, then the map after each doubling.

    Raises:
        ConfigError: another scale.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        growth: int = 64,
        blocks: int = 16,
        layers: int = 8,
        scale: int = 8,
    ) -> None:
        super().__init__()
        if scale not in (1, 8):
            raise ConfigError(f"expected a scale of 1 or 8, got {scale!r}")
        self.scale = scale
        strides = STRIDES if scale == 8 else (1,)
        self.feature_info = [FeatureInfo(width, stride) for stride in strides]
        self.head = conv3x3(3, width)
        self.entry = conv3x3(width, width)
        self.blocks = nn.ModuleList(
            ResidualDenseBlock(width, growth, layers) for _ in range(blocks)
        )
        self.fuse = nn.Sequential(nn.Conv2d(blocks * width, width, 1), conv3x3(width, width))
        self.upsampler = Upsampler(width) if scale == 8 else None
        self.tail = conv3x3(width, 3)

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        shallow = self.head(lr - 0.5)
        outputs, x = [], self.entry(shallow)
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        x = shallow + self.fuse(torch.cat(outputs, dim=1))
        if self.upsampler is None:
            return lr + self.tail(x), [x]
        features = self.upsampler(x)
        return self.tail(features[-1]) + 0.5, features
