"""Networks that restore a face in a frame of 512 px: the input is as large as the output.

Ours, for the task of DFDNet (Li et al., ECCV 2020). Three stages halve the size by pixel-unshuffle
and a 3x3 convolution; most of the work is done at an eighth of the size; three stages enlarge it
again, bilinearly and without a grid (`faceskd.models.blocks.UpsampledKernel`), and add the maps of
the way down. What comes out is added to the input, so that a sharp face can stay as it is. The maps
at 1/8, 1/4, 1/2 and the full size are what is distilled.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.base import FeatureInfo
from faceskd.models.blocks import shrink
from faceskd.models.lite import LiteBlock, enlarging_conv, plain_conv
from faceskd.models.residual import ResidualNet


class PhotoNet(ResidualNet):
    """A network of scale 1: RGB float in [0, 1], (B, 3, H, W) -> (B, 3, H, W), of any size.

    Args:
        widths: channels at 1/2, 1/4 and 1/8 of the size.
        blocks: residual blocks at 1/8 of the size.
        mixing: residual blocks at 1/4 and at 1/2 of the size, on the way up.
        reparameterised: over-parametrise the 3x3 convolutions in training (see
            `faceskd.models.lite`).
        size: side of the frames it is trained for, px.

    Raises:
        ConfigError: not three widths, or not two numbers of mixing blocks, or a size that is no
            multiple of 8.

    Example:
        >>> net = PhotoNet(widths=(8, 16, 16), blocks=1, mixing=(0, 0))
        >>> sr, features = net.forward_features(torch.rand(1, 3, 64, 64))
        >>> tuple(sr.shape), [tuple(f.shape[1:]) for f in features]
        ((1, 3, 64, 64), [(16, 8, 8), (16, 16, 16), (8, 32, 32), (8, 64, 64)])
    """

    scale = 1
    stride = 8

    def __init__(
        self,
        *,
        widths: Sequence[int] = (24, 48, 96),
        blocks: int = 8,
        mixing: Sequence[int] = (1, 1),
        reparameterised: bool = True,
        size: int = 512,
    ) -> None:
        super().__init__()
        if size < self.stride or size % self.stride:
            raise ConfigError(f"expected a size in multiples of {self.stride} px, got {size}")
        self.size = size
        if len(widths) != 3 or len(mixing) != 2:
            raise ConfigError(
                "expected three widths and two numbers of mixing blocks, got "
                f"{list(widths)} and {list(mixing)}"
            )
        options: dict[str, Any] = {"reparameterised": reparameterised}
        block = {"kind": "residual", "activation": "relu", **options}
        self.down = nn.ModuleList(
            plain_conv(4 * channels, out, **options) for channels, out in pairwise((3, *widths))
        )
        self.body = nn.Sequential(*(LiteBlock(widths[2], **block) for _ in range(blocks)))
        self.up = nn.ModuleList(
            enlarging_conv(channels, out, "detailed", **options)
            for channels, out in pairwise(reversed(widths))
        )
        self.mix = nn.ModuleList(
            nn.Sequential(*(LiteBlock(width, **block) for _ in range(count)))
            for width, count in zip((widths[1], widths[0]), mixing, strict=True)
        )
        self.head = enlarging_conv(widths[0], 3, "detailed", reparameterised=False)
        shrink(self.head)
        channels = (widths[2], widths[1], widths[0], widths[0])
        self.feature_info = [
            FeatureInfo(count, stride) for count, stride in zip(channels, (8, 4, 2, 1), strict=True)
        ]

    def _maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        skips = []
        for conv in self.down:
            x = torch.relu(conv(F.pixel_unshuffle(x, 2)))
            skips.append(x)
        maps = [x + self.body(x)]
        for enlarge, mix, skip in zip(self.up, self.mix, reversed(skips[:-1]), strict=True):
            maps.append(mix(torch.relu(enlarge(maps[-1])) + skip))
        return maps, maps[-1]
