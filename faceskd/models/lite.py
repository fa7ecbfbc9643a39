"""Light students: all the work at 32x32, the face enlarged late.

The paper's student keeps VGG-19's encoder on the enlarged face and names a lighter one as future
work. This is ours. A residual body sees the LR face at its own size, where a convolution costs a
sixty-fourth of what it does at 256 px; three stages then double the size with ever fewer channels.
Each stage convolves first and enlarges bilinearly after: pixel-shuffle would save the enlargement
and leave a grid. The four stage outputs, at 32, 64, 128 and 256 px, are what is distilled.

Channels are multiples of 16, what matrix units and vector registers like. Convolutions may be
over-parametrised in training (`reparameterised`): their weight is the sum of a 3x3, a 1x1 and a
1x1-after-3x3 kernel (RepVGG, Ding et al., CVPR 2021; ECBSR, Zhang et al., ACM MM 2021). Without
normalisation between them that sum is linear, so it is made on the weights, not on the
activations: training costs the same, and `faceskd.models.blocks.fold` leaves one plain 3x3.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from faceskd.errors import ConfigError
from faceskd.models.base import FeatureInfo, SuperResolver
from faceskd.models.blocks import SLOPE, upsample

HEAD_INIT = 0.1
BLOCKS = ("residual", "depthwise")
UPSAMPLING = ("bilinear", "shuffle")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": partial(F.leaky_relu, negative_slope=SLOPE),
    "silu": F.silu,
}


class ParallelKernels(nn.Module):
    """A 3x3 kernel plus those of a 1x1 and of a 1x1 after a 3x3, as one 3x3 kernel (O, I, 3, 3)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.zeros(out, channels))
        self.after = nn.Parameter(torch.eye(out) * 0.1)
        self.before = nn.Parameter(torch.empty(out, channels, 3, 3))
        nn.init.kaiming_normal_(self.before, a=1)

    def forward(self, weight: Tensor) -> Tensor:
        chained = torch.einsum("om,mihw->oihw", self.after, self.before)
        return weight + chained + F.pad(self.point[:, :, None, None], (1, 1, 1, 1))


def _conv(channels: int, out: int, *, reparameterised: bool) -> nn.Conv2d:
    conv = nn.Conv2d(channels, out, 3, padding=1)
    if reparameterised:
        parametrize.register_parametrization(conv, "weight", ParallelKernels(channels, out))
    return conv


class LiteBlock(nn.Module):
    """x + body(x): two 3x3 convolutions, or a depthwise 5x5 between two 1x1."""

    def __init__(self, channels: int, *, kind: str, activation: str, reparameterised: bool) -> None:
        super().__init__()
        if kind == "residual":
            self.convs = nn.ModuleList(
                _conv(channels, channels, reparameterised=reparameterised) for _ in range(2)
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
    """(B, C, H, W) -> (B, C_out, 2H, 2W): convolve, enlarge, and, if `refine`, convolve again."""

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        upsampling: str,
        refine: bool,
        activation: str,
        reparameterised: bool,
    ) -> None:
        super().__init__()
        shuffle = upsampling == "shuffle"
        self.narrow = _conv(channels, 4 * out if shuffle else out, reparameterised=reparameterised)
        self.enlarge = partial(F.pixel_shuffle, upscale_factor=2) if shuffle else upsample
        self.refine = _conv(out, out, reparameterised=reparameterised) if refine else None
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        enlarged = self.enlarge(self.activation(self.narrow(x)))
        if self.refine is None:
            return enlarged
        return self.activation(self.refine(enlarged)) + enlarged


class Lite(SuperResolver):
    """A student of a few GMACs or less.

    Args:
        width: channels of the body, at the LR face's size.
        blocks: residual blocks of the body.
        stage_widths: channels at 64, 128 and 256 px.
        refine: whether each of these stages convolves at its new size, too.
        kind: "residual" or "depthwise" blocks.
        upsampling: "bilinear", or "shuffle" (sub-pixel convolution, Shi et al., CVPR 2016).
        activation: "relu", "leaky_relu" or "silu".
        reparameterised: over-parametrise the 3x3 convolutions in training.

    Raises:
        ConfigError: an unknown name, or not three stages.

    Example:
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
        refine: Sequence[bool] = (True, True, True),
        kind: str = "residual",
        upsampling: str = "bilinear",
        activation: str = "relu",
        reparameterised: bool = True,
    ) -> None:
        super().__init__()
        _check(kind=(kind, BLOCKS), upsampling=(upsampling, UPSAMPLING))
        _check(activation=(activation, ACTIVATIONS))
        if len(stage_widths) != 3 or len(refine) != 3:
            raise ConfigError(
                f"expected three stage widths and three times refine, got {list(stage_widths)} "
                f"and {list(refine)}"
            )
        options: dict[str, Any] = {"activation": activation, "reparameterised": reparameterised}
        self.entry = _conv(3, width, reparameterised=False)
        self.body = nn.Sequential(*[LiteBlock(width, kind=kind, **options) for _ in range(blocks)])
        channels = (width, *stage_widths)
        self.stages = nn.ModuleList(
            LiteStage(narrow, out, upsampling=upsampling, refine=again, **options)
            for (narrow, out), again in zip(pairwise(channels), refine, strict=True)
        )
        self.head = nn.Conv2d(channels[-1], 3, 3, padding=1)
        self.head.weight.data.mul_(HEAD_INIT)
        self.feature_info = [
            FeatureInfo(count, stride) for count, stride in zip(channels, (8, 4, 2, 1), strict=True)
        ]

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        x = self.entry(lr - 0.5)
        features = [x + self.body(x)]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return upsample(lr, self.scale) + self.head(features[-1]), features


def _check(**options: tuple[str, Collection[str]]) -> None:
    for name, (came, known) in options.items():
        if came not in known:
            raise ConfigError(f"expected {name} of {', '.join(known)}, got {came!r}")
