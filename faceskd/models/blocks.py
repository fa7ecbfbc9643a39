"""Pieces that several networks are made of."""

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

SLOPE = 0.2
"""Negative slope of every LeakyReLU in DFDNet and here."""


def conv3x3(channels: int, out: int, *, dilation: int = 1, spectral: bool = False) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size of the map, spectrally normalised on demand."""
    conv = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
    if spectral:
        spectral_norm(conv)
    return conv


def conv_pair(channels: int, out: int, *, spectral: bool = False) -> nn.Sequential:
    """Convolution, LeakyReLU, convolution: the unit of DFDNet's decoder and confidence scores."""
    return nn.Sequential(
        conv3x3(channels, out, spectral=spectral),
        nn.LeakyReLU(SLOPE, inplace=True),
        conv3x3(out, out, spectral=spectral),
    )


class ResidualBlock(nn.Module):
    """x + conv(LeakyReLU(conv(x))); maps (B, C, H, W) to the same shape."""

    def __init__(self, channels: int, *, spectral: bool = False) -> None:
        super().__init__()
        self.body = conv_pair(channels, channels, spectral=spectral)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class MultiDilationBlock(nn.Module):
    """Convolutions of several dilations side by side, convolved back together and added.

    DFDNet's block on the deepest feature map: one pass sees neighbourhoods of 3 to 9 px.
    """

    def __init__(self, channels: int, dilations: tuple[int, ...] = (4, 3, 2, 1)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                conv3x3(channels, channels, dilation=dilation, spectral=True),
                nn.LeakyReLU(SLOPE, inplace=True),
            )
            for dilation in dilations
        )
        self.fuse = conv3x3(channels * len(dilations), channels, spectral=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fuse(torch.cat([branch(x) for branch in self.branches], dim=1))


Network = TypeVar("Network", bound=nn.Module)


def fold(network: Network) -> Network:
    """A copy for inference: eval mode, frozen, spectral and weight norms folded into weights.

    Outputs are those of `network.eval()`, but nothing is divided by a norm at each call any more,
    and other runtimes see plain convolutions. The original stays as it is.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if parametrize.is_parametrized(module):
            _fold_module(module)
    return network.requires_grad_(False)


def _fold_module(module: nn.Module) -> None:
    """`parametrize.remove_parametrizations` would spoil the original.

    The two copies share the class that carries the parametrised properties, and it deletes them.
    """
    names = list(module.parametrizations)  # type: ignore[arg-type]
    weights = {name: getattr(module, name).detach() for name in names}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, weight in weights.items():
        module.register_parameter(name, nn.Parameter(weight))


def upsample(x: Tensor, factor: int = 2) -> Tensor:
    """Bilinear enlargement; unlike pixel-shuffle it leaves no grid."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def bicubic(lr: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement (a = -0.75, as OpenCV), (B, C, H, W) -> (B, C, scale H, scale W)."""
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)
