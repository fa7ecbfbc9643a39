"""Upsampling of the baselines from LR to SR size: three doublings by sub-pixel convolution.

Sub-pixel convolution is by Shi et al., "Real-Time Single Image and Video Super-Resolution Using an
Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016 (arXiv 1609.05158). The kernels of the
four pixels of a cell start equal (ICNR, Aitken et al., 2017, arXiv 1707.02937), so that training
does not start with a regular pattern.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from faceskd.models.blocks import conv3x3

DOUBLINGS = 3
STRIDES = (8, 4, 2, 1)
"""Strides, in SR pixels, of the LR features and of the features after each doubling."""


class SubPixelUp(nn.Module):
    """Features (B, C, H, W) -> (B, C, 2H, 2W): convolution to 4C channels, then pixel shuffle."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, 4 * channels)
        self.shuffle = nn.PixelShuffle(2)
        with torch.no_grad():
            for parameter in self.conv.parameters():
                parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(self.conv(x))


class Upsampler(nn.Module):
    """LR features (B, C, H, W) -> list of the LR features and the features after each doubling."""

    def __init__(self, channels: int, *, activation: Callable[[], nn.Module] = nn.Identity) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(SubPixelUp(channels), activation()) for _ in range(DOUBLINGS)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features
