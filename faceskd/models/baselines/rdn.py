"""RDN, the residual dense network.

Zhang, Tian, Kong, Zhong, Fu, "Residual Dense Network for Image Super-Resolution", CVPR 2018,
arXiv 1802.08797. In the paper's notation: D blocks of C layers, growth rate G, G0 channels between
the blocks. Here D = 16, C = 8, G = G0 = 64.

Changed: three doublings; images are centred at 0; sub-pixel convolutions start with equal kernels
(`faceskd.models.upsampling`). 22.4 M parameters.
"""

import torch
from torch import Tensor, nn

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

    Features: the body's output at stride 8, then the map after each doubling.
    """

    def __init__(
        self, *, width: int = 64, growth: int = 64, blocks: int = 16, layers: int = 8
    ) -> None:
        super().__init__()
        self.feature_info = [FeatureInfo(width, stride) for stride in STRIDES]
        self.head = conv3x3(3, width)
        self.entry = conv3x3(width, width)
        self.blocks = nn.ModuleList(
            ResidualDenseBlock(width, growth, layers) for _ in range(blocks)
        )
        self.fuse = nn.Sequential(nn.Conv2d(blocks * width, width, 1), conv3x3(width, width))
        self.upsampler = Upsampler(width)
        self.tail = conv3x3(width, 3)

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        shallow = self.head(lr - 0.5)
        outputs, x = [], self.entry(shallow)
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        features = self.upsampler(shallow + self.fuse(torch.cat(outputs, dim=1)))
        return self.tail(features[-1]) + 0.5, features
