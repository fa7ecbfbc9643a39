"""D-DBPN, the dense deep back-projection network.

Haris, Shakhnarovich, Ukita, "Deep Back-Projection Networks for Super-Resolution", CVPR 2018,
arXiv 1803.02735. At x8 the paper's projections are 12x12 with stride 8 and padding 2.

An up-projection unit enlarges its input, reduces the result, and corrects the enlargement by the
difference from the input. A down-projection unit does the same in the other direction. Up and down
units alternate. Each sees the outputs of all earlier units of the other kind.

Changed: images are centred at 0. Initial weights have variance 1 / fan-in, where the fan-in of a
strided deconvolution counts only the taps that reach one pixel. This keeps the variance of the
features about constant. 23.2 M parameters.
"""

import math

import torch
from torch import Tensor, nn

from faceskd.models.base import FeatureInfo, SuperResolver
from faceskd.models.blocks import conv3x3

KERNEL, STRIDE, PADDING = 12, 8, 2


def _projection(channels: int, *, up: bool) -> nn.Sequential:
    """x8 enlargement by deconvolution, or x8 reduction by convolution; then PReLU."""
    kind = nn.ConvTranspose2d if up else nn.Conv2d
    conv = kind(channels, channels, KERNEL, stride=STRIDE, padding=PADDING)
    taps = (KERNEL / STRIDE) ** 2 if up else KERNEL**2
    nn.init.normal_(conv.weight, std=1 / math.sqrt(channels * taps))
    return nn.Sequential(conv, nn.PReLU())


class ProjectionUnit(nn.Module):
    """Project, project back, and add the projection of the difference from the input.

    Args:
        channels: channels of its input after fusion, and of its output.
        inputs: number of input maps; a 1x1 convolution fuses more than one.
        up: True from LR to SR size, False from SR to LR size.
    """

    def __init__(self, channels: int, *, inputs: int, up: bool) -> None:
        super().__init__()
        fusion = [nn.Conv2d(inputs * channels, channels, 1), nn.PReLU()] if inputs > 1 else []
        self.fuse = nn.Sequential(*fusion)
        self.project = _projection(channels, up=up)
        self.return_ = _projection(channels, up=not up)
        self.correct = _projection(channels, up=up)

    def forward(self, maps: list[Tensor]) -> Tensor:
        x = self.fuse(torch.cat(maps, dim=1))
        projected = self.project(x)
        return projected + self.correct(self.return_(projected) - x)


class DBPN(SuperResolver):
    """Alternating up- and down-projection units; all SR-sized maps together give the image.

    Args:
        width: channels of every projected map (n_R).
        head_width: channels of the first convolution (n_0).
        stages: number of up-projection units (T). There are T - 1 down-projection units.

    Features: the last LR-sized map (stride 8), and the concatenated SR-sized maps (stride 1).
    """

    def __init__(self, *, width: int = 64, head_width: int = 256, stages: int = 7) -> None:
        super().__init__()
        self.feature_info = [FeatureInfo(width, self.scale), FeatureInfo(stages * width, 1)]
        self.head = nn.Sequential(
            conv3x3(3, head_width), nn.PReLU(), nn.Conv2d(head_width, width, 1), nn.PReLU()
        )
        self.ups = nn.ModuleList(
            ProjectionUnit(width, inputs=max(stage, 1), up=True) for stage in range(stages)
        )
        self.downs = nn.ModuleList(
            ProjectionUnit(width, inputs=stage + 1, up=False) for stage in range(stages - 1)
        )
        self.tail = conv3x3(stages * width, 3)

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        small = [self.head(lr - 0.5)]
        large = [self.ups[0](small)]
        small_outputs: list[Tensor] = []
        for up, down in zip(self.ups[1:], self.downs, strict=True):
            small_outputs.append(down(large))
            large.append(up(small_outputs))
        together = torch.cat(large, dim=1)
        return self.tail(together) + 0.5, [(small + small_outputs)[-1], together]
