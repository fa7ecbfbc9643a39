"""Networks that restore a face in a frame of 512 px: the input is as large as the output.

Ours, for the task of DFDNet (Li et al., ECCV 2020). Three stages halve the size by pixel-unshuffle
and a 3x3 convolution; most of the work is done at an eighth of the size; three stages enlarge it
again, bilinearly and without a grid (`faceskd.models.blocks.UpsampledKernel`), and add the maps of
the way down. What comes out is added to the input, so that a sharp face can stay as it is. The maps
at 1/8, 1/4, 1/2 and the full size are what is distilled.

What a face lacks depends on how blurred it is, from 20 px enlarged to sharp. The network measures
that first, as the energy of six frequency bands (`band_energies`), and scales and shifts the
channels of every block accordingly (FiLM, Perez et al., AAAI 2018). Without this it learns more
slowly, because it must find out from its local maps.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.checks import check_choice
from faceskd.common.errors import ConfigError
from faceskd.common.images import luminance
from faceskd.models.base import FACES, FeatureInfo
from faceskd.models.blocks import shrink
from faceskd.models.lite import (
    ACTIVATIONS,
    LiteBlock,
    enlarging_conv,
    plain_conv,
)
from faceskd.models.residual import ResidualNet

MODULATION = 64
"""Numbers that describe the sharpness of an image to the blocks."""

BANDS = 6
"""Frequency bands of `band_energies`: details of 1, 2, 4, ... 32 px."""


def band_energies(x: Tensor) -> Tensor:
    """Logarithm of the energy of an image in each of `BANDS` octaves: (B, 3, H, W) -> (B, BANDS).

    A band is the luminance minus its means over cells of 2x2 px, of the image halved n times (Haar
    wavelets). For photographs the result is within about -3 to 3.
    """
    height, width = x.shape[-2:]
    cell = 2**BANDS
    image = F.pad(luminance(x.float()), (0, -width % cell, 0, -height % cell), mode="replicate")
    energies = []
    for _ in range(BANDS):
        means = F.avg_pool2d(image, 2)
        energies.append((image - F.interpolate(means, scale_factor=2.0)).square().mean((1, 2, 3)))
        image = means
    return ((torch.stack(energies, dim=1) + 1e-7).log() + 9) / 2.5


class ModulatedBlock(LiteBlock):
    """x + body(x) with two 3x3 convolutions; the channels between them are scaled and shifted."""

    def __init__(self, channels: int, *, activation: str, reparameterised: bool) -> None:
        super().__init__(
            channels, kind="residual", activation=activation, reparameterised=reparameterised
        )
        self.modulation = nn.Linear(MODULATION, 2 * channels)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, sharpness: Tensor) -> Tensor:  # type: ignore[override]
        first, last = self.convs
        scale, shift = self.modulation(sharpness)[:, :, None, None].chunk(2, dim=1)
        return x + last(self.activation(first(x) * (1 + scale) + shift))


class PhotoNet(ResidualNet):
    """A network of scale 1: RGB float in [0, 1], (B, 3, H, W) -> (B, 3, H, W), of any size.

    Args:
        widths: channels at 1/2, 1/4 and 1/8 of the size.
        blocks: residual blocks at 1/8 of the size.
        mixing: residual blocks at 1/4 and at 1/2 of the size, on the way up.
        reparameterised: over-parametrise the 3x3 convolutions in training (see
            `faceskd.models.lite`).
        activation: "relu", "leaky_relu" or "silu". With "relu" most channels of the stages die in
            the first steps: they are 0 for every image, and learn nothing more.
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
    purpose = FACES
    stride = 8

    def __init__(
        self,
        *,
        widths: Sequence[int] = (24, 48, 96),
        blocks: int = 8,
        mixing: Sequence[int] = (1, 1),
        reparameterised: bool = True,
        activation: str = "relu",
        size: int = 512,
    ) -> None:
        super().__init__()
        check_choice(ACTIVATIONS, activation=activation)
        if size < self.stride or size % self.stride:
            raise ConfigError(f"expected a size in multiples of {self.stride} px, got {size}")
        self.size = size
        if len(widths) != 3 or len(mixing) != 2:
            raise ConfigError(
                "expected three widths and two numbers of mixing blocks, got "
                f"{list(widths)} and {list(mixing)}"
            )
        options: dict[str, Any] = {"reparameterised": reparameterised}
        blocks_options = {"activation": activation, **options}
        self.activation = ACTIVATIONS[activation]
        self.sharpness = nn.Linear(BANDS, MODULATION)
        self.down = nn.ModuleList(
            plain_conv(4 * channels, out, **options) for channels, out in pairwise((3, *widths))
        )
        self.body = _blocks(widths[2], blocks, **blocks_options)
        self.up = nn.ModuleList(
            enlarging_conv(channels, out, "detailed", **options)
            for channels, out in pairwise(reversed(widths))
        )
        self.mix = nn.ModuleList(
            _blocks(width, count, **blocks_options)
            for width, count in zip((widths[1], widths[0]), mixing, strict=True)
        )
        self.head = enlarging_conv(widths[0], 3, "detailed", reparameterised=False)
        shrink(self.head)
        channels = (widths[2], widths[1], widths[0], widths[0])
        self.feature_info = [
            FeatureInfo(count, stride) for count, stride in zip(channels, (8, 4, 2, 1), strict=True)
        ]

    def _maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        sharpness = torch.relu(self.sharpness(band_energies(x).to(x.dtype)))
        skips = []
        for conv in self.down:
            x = self.activation(conv(F.pixel_unshuffle(x, 2)))
            skips.append(x)
        maps = [x + _through(self.body, x, sharpness)]
        for enlarge, mix, skip in zip(self.up, self.mix, reversed(skips[:-1]), strict=True):
            maps.append(_through(mix, self.activation(enlarge(maps[-1])) + skip, sharpness))
        return maps, maps[-1]


def _blocks(channels: int, count: int, **options: Any) -> nn.ModuleList:
    return nn.ModuleList(ModulatedBlock(channels, **options) for _ in range(count))


def _through(blocks: nn.Module, x: Tensor, sharpness: Tensor) -> Tensor:
    for block in cast(nn.ModuleList, blocks):
        x = block(x, sharpness)
    return x
