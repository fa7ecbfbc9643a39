"""Light students: they work at 32x32 and enlarge the face late.

The paper's student runs a VGG-19 encoder on the enlarged face and names a lighter student as future
work. This network is ours. A residual body works at the size of the LR face, where a convolution
costs 1/64 of one at 256 px. Two stages then double the size and reduce the channels. The last
doubling produces the RGB image itself, so that no feature map at 256 px is computed. Each doubling
is a bilinear enlargement and a convolution, computed as one sub-pixel convolution
(`faceskd.models.blocks.UpsampledKernel`). Four feature maps are distilled: those at 32, 64 and 128
px, and the last map, enlarged to 256 px.

Channel numbers are multiples of 16, which suits matrix units and vector registers. With
`reparameterised`, the weight of a convolution is the sum of a 3x3 kernel, a 1x1 kernel, and a 1x1
kernel after a 3x3 kernel (RepVGG, Ding et al., CVPR 2021; ECBSR, Zhang et al., ACM MM 2021). There
is no normalisation between them, so the sum can be computed on the weights instead of the
activations. Training costs the same, and `faceskd.models.blocks.fuse` leaves one 3x3 kernel.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from faceskd.common.checks import check_choice
from faceskd.common.errors import ConfigError
from faceskd.models.base import FeatureInfo
from faceskd.models.blocks import SLOPE, back_projected, shrink, upsampled_conv
from faceskd.models.residual import ResidualNet

BLOCKS = ("residual", "depthwise")
UPSAMPLING = ("bilinear", "detailed", "shuffle")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": partial(F.leaky_relu, negative_slope=SLOPE),
    "silu": F.silu,
}


class ParallelKernels(nn.Module):
    """Sum of a 3x3, a 1x1, and a 1x1 after a 3x3 kernel, as one 3x3 kernel (O, I, 3, 3)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.zeros(out, channels))
        self.after = nn.Parameter(torch.eye(out) * 0.1)
        self.before = nn.Parameter(torch.empty(out, channels, 3, 3))
        nn.init.kaiming_normal_(self.before, a=1)

    def forward(self, weight: Tensor) -> Tensor:
        chained = torch.einsum("om,mihw->oihw", self.after, self.before)
        return weight + chained + F.pad(self.point[:, :, None, None], (1, 1, 1, 1))

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The 3x3 kernel for which the sum is `weight`, with the other kernels unchanged."""
        return weight - self(torch.zeros_like(weight))


def plain_conv(channels: int, out: int, *, reparameterised: bool) -> nn.Conv2d:
    conv = nn.Conv2d(channels, out, 3, padding=1)
    if reparameterised:
        parametrize.register_parametrization(conv, "weight", ParallelKernels(channels, out))
    return conv


def enlarging_conv(channels: int, out: int, upsampling: str, *, reparameterised: bool) -> nn.Module:
    if upsampling == "shuffle":
        conv = plain_conv(channels, 4 * out, reparameterised=reparameterised)
        return nn.Sequential(conv, nn.PixelShuffle(2))
    inner = ParallelKernels(channels, out) if reparameterised else None
    return upsampled_conv(channels, out, inner=inner, detail=upsampling == "detailed")


class LiteBlock(nn.Module):
    """x + body(x), with two 3x3 convolutions, or with a depthwise 5x5 between two 1x1."""

    def __init__(self, channels: int, *, kind: str, activation: str, reparameterised: bool) -> None:
        super().__init__()
        if kind == "residual":
            self.convs = nn.ModuleList(
                plain_conv(channels, channels, reparameterised=reparameterised) for _ in range(2)
            )
        else:
            wide = 2 * channels
            self.convs = nn.ModuleList(
                [
                    nn.Conv2d(channels, wide, 1),
                    nn.Conv2d(wide, wide, 5, padding=2, groups=wide),
                    nn.Conv2d(wide, channels, 1),
                ]
            )
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self.convs
        y = x
        for conv in inner:
            y = self.activation(conv(y))
        return x + last(y)


class LiteStage(nn.Module):
    """(B, C, H, W) -> (B, C_out, 2H, 2W): a convolution, then enlargement with a convolution."""

    def __init__(
        self, channels: int, out: int, *, upsampling: str, activation: str, reparameterised: bool
    ) -> None:
        super().__init__()
        self.narrow = plain_conv(channels, out, reparameterised=reparameterised)
        self.enlarge = enlarging_conv(out, out, upsampling, reparameterised=reparameterised)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.enlarge(self.activation(self.narrow(x))))


class Lite(ResidualNet):
    """A student of 0.5 to 5 GMACs.

    Args:
        width: channels of the body, at the size of the LR face.
        blocks: residual blocks of the body.
        stage_widths: channels at 64 px, at 128 px, and of the last map (128 px, too).
        kind: "residual" or "depthwise" blocks.
        upsampling: "bilinear", "detailed" (see `UpsampledKernel`) or "shuffle" (sub-pixel
            convolution, Shi et al., CVPR 2016).
        activation: "relu", "leaky_relu" or "silu".
        reparameterised: over-parametrise the 3x3 convolutions in training.
        back_projection: how strongly the brightness of the SR face is corrected towards that of
            the LR face, 0 for not at all; see `faceskd.models.blocks.back_projected`.

    Raises:
        ConfigError: an unknown name, not three stage widths, or a negative back_projection.

    Examples:
        >>> lite = Lite(width=16, blocks=1, stage_widths=(16, 16, 16))
        >>> sr, features = lite.forward_features(torch.rand(1, 3, 32, 32))
        >>> tuple(sr.shape), [tuple(f.shape[1:]) for f in features]
        ((1, 3, 256, 256), [(16, 32, 32), (16, 64, 64), (16, 128, 128), (16, 256, 256)])
    """

    def __init__(
        self,
        *,
        width: int = 96,
        blocks: int = 8,
        stage_widths: Sequence[int] = (64, 32, 16),
        kind: str = "residual",
        upsampling: str = "detailed",
        activation: str = "relu",
        reparameterised: bool = True,
        back_projection: float = 0.0,
    ) -> None:
        super().__init__()
        check_choice(BLOCKS, kind=kind)
        check_choice(UPSAMPLING, upsampling=upsampling)
        check_choice(ACTIVATIONS, activation=activation)
        if len(stage_widths) != 3:
            raise ConfigError(f"expected three stage widths, got {list(stage_widths)}")
        if back_projection < 0:
            raise ConfigError(f"expected a back_projection of 0 or more, got {back_projection}")
        self.back_projection = back_projection
        options: dict[str, Any] = {"activation": activation, "reparameterised": reparameterised}
        self.entry = plain_conv(3, width, reparameterised=False)
        self.body = nn.Sequential(*[LiteBlock(width, kind=kind, **options) for _ in range(blocks)])
        *wider, last = channels = (width, *stage_widths)
        self.stages = nn.ModuleList(
            LiteStage(narrow, out, upsampling=upsampling, **options)
            for narrow, out in pairwise(wider)
        )
        self.last = plain_conv(wider[-1], last, reparameterised=reparameterised)
        self.activation = ACTIVATIONS[activation]
        self.head = enlarging_conv(last, 3, upsampling, reparameterised=False)
        shrink(self.head)
        self.feature_info = [
            FeatureInfo(count, stride) for count, stride in zip(channels, (8, 4, 2, 1), strict=True)
        ]

    def _maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        x = self.entry(x)
        maps = [x + self.body(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps, self.activation(self.last(maps[-1]))

    def _enlarged(self, lr: Tensor, residual: Tensor) -> Tensor:
        if self.back_projection:
            lr = back_projected(lr, residual, self.back_projection)
        return super()._enlarged(lr, residual)
