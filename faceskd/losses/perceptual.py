"""Distance in the feature space of a VGG-19.

Johnson et al., ECCV 2016; eq. 5 of Jo et al. 2021.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from faceskd.errors import ConfigError
from faceskd.models.vgg import VGG19


class PerceptualLoss(nn.Module):
    """sum_l w_l mean |vgg_l(sr) - vgg_l(hr)| / mean |vgg_l(hr)|, images (B, 3, H, W) in [0, 1].

    Dividing by the mean activation makes the terms independent of the scale of a VGG's features,
    which differs by origin (torchvision's, normalised, distilled, our own) and by layer.

    Args:
        vgg: with the layers to compare in as its taps; the paper compares in five. Frozen.
        weights: one a tap; default 1 / taps, so that the loss is a relative error.
        crop: side of a window, px, the same for all faces of a call and drawn anew in each, that
            alone is compared; at 128 px the loss costs a quarter. None compares whole images.
    """

    def __init__(
        self, *, vgg: VGG19, weights: Sequence[float] | None = None, crop: int | None = None
    ) -> None:
        super().__init__()
        if weights is not None and len(weights) != len(vgg.taps):
            raise ConfigError(f"expected {len(vgg.taps)} weights, one a tap, got {len(weights)}")
        self.vgg = vgg.requires_grad_(False).eval()
        self.weights = tuple(weights or [1 / len(vgg.taps)] * len(vgg.taps))
        self.crop = crop

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        sr, hr = self._window(sr, hr)
        with torch.no_grad():
            targets = self.vgg(hr)
        total = sr.new_zeros((), dtype=torch.float32)
        for weight, feature, target in zip(self.weights, self.vgg(sr), targets, strict=True):
            # Means in float32, maps as they are: in bf16 half the memory is read and written.
            error = (feature - target).abs().mean(dtype=torch.float32)
            size = target.abs().mean(dtype=torch.float32)
            total = total + weight * error / size.clamp(min=1e-6)
        return total

    def _window(self, sr: Tensor, hr: Tensor) -> tuple[Tensor, Tensor]:
        if self.crop is None or self.crop >= min(sr.shape[-2:]):
            return sr, hr
        top, left = (int(torch.randint(side - self.crop + 1, ())) for side in sr.shape[-2:])
        window = (..., slice(top, top + self.crop), slice(left, left + self.crop))
        return sr[window], hr[window]
