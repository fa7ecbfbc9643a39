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

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from faceskd.errors import ConfigError
from faceskd.models.base import FeatureInfo, SuperResolver
from faceskd.models.blocks import upsample

HEAD_INIT = 0.1
BLOCKS = ("residual", "depthwise")


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

    def __init__(self, channels: int, *, kind: str, reparameterised: bool) -> None:
        super().__init__()
        if kind == "residual":
            self.body = nn.Sequential(
                _conv(channels, channels, reparameterised=reparameterised),
                nn.ReLU(inplace=True),
                _conv(channels, channels, reparameterised=reparameterised),
            )
        else:
            wide = 2 * channels
            self.body = nn.Sequential(
                nn.Conv2d(channels, wide, 1),
                nn.ReLU(inplace=True),
                nn.Conv2d(wide, wide, 5, padding=2, groups=wide),
                nn.ReLU(inplace=True),
                nn.Conv2d(wide, channels, 1),
            )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class LiteStage(nn.Module):
    """(B, C, H, W) -> (B, C_out, 2H, 2W): convolve, enlarge, convolve."""

    def __init__(self, channels: int, out: int, *, reparameterised: bool) -> None:
        super().__init__()
        self.narrow = _conv(channels, out, reparameterised=reparameterised)
        self.refine = _conv(out, out, reparameterised=reparameterised)

    def forward(self, x: Tensor) -> Tensor:
        enlarged = upsample(torch.relu(self.narrow(x)))
        return torch.relu(self.refine(enlarged)) + enlarged


class Lite(SuperResolver):
    """A student of a few GMACs or less.

    Args:
        width: channels of the body, at the LR face's size.
        blocks: residual blocks of the body.
        stage_widths: channels at 64, 128 and 256 px.
        kind: "residual" or "depthwise" blocks.
        reparameterised: over-parametrise the 3x3 convolutions in training.

    Raises:
        ConfigError: an unknown kind, or not three stages.

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
        kind: str = "residual",
        reparameterised: bool = True,
    ) -> None:
        super().__init__()
        if kind not in BLOCKS:
            raise ConfigError(f"expected blocks of a kind in {BLOCKS}, got {kind!r}")
        if len(stage_widths) != 3:
            raise ConfigError(f"expected three stage widths, got {list(stage_widths)}")
        self.entry = _conv(3, width, reparameterised=False)
        self.body = nn.Sequential(
            *[LiteBlock(width, kind=kind, reparameterised=reparameterised) for _ in range(blocks)]
        )
        channels = (width, *stage_widths)
        self.stages = nn.ModuleList(
            LiteStage(narrow, out, reparameterised=reparameterised)
            for narrow, out in pairwise(channels)
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
