"""SRGAN's content loss: squared error between VGG features.

Ledig et al., CVPR 2017, eq. 5; Park et al. (SRFeat), ECCV 2018, eq. 2.
"""

import torch
from torch import Tensor, nn

from faceskd.models.vgg import VGG19


class ContentLoss(nn.Module):
    """sum_l mean (vgg_l(sr) - vgg_l(hr))^2 / mean vgg_l(hr)^2, images (B, 3, H, W) in [0, 1].

    Both papers scale VGG features by hand (1 / 12.75 in SRGAN); the division does it for a VGG of
    any origin.

    Args:
        vgg: with the layers to compare in as its taps; both papers take one deep layer. Frozen.
    """

    def __init__(self, *, vgg: VGG19) -> None:
        super().__init__()
        self.vgg = vgg.requires_grad_(False).eval()

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self.vgg(hr)
        terms = [
            (feature.float() - target.float()).square().mean()
            / target.float().square().mean().clamp(min=1e-6)
            for feature, target in zip(self.vgg(sr), targets, strict=True)
        ]
        return torch.stack(terms).sum()
