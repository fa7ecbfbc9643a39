"""Distance in the feature space of a VGG-19.

Johnson et al., ECCV 2016; eq. 5 of Jo et al. 2021; Zhang et al., CVPR 2018.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.checks import check_choice, check_whole, check_whole_or_none
from faceskd.common.errors import ConfigError
from faceskd.models.blocks import random_window, unit_pixels
from faceskd.models.frozen import frozen
from faceskd.models.vgg import VGG19


def absolute_distance(feature: Tensor, target: Tensor) -> Tensor:
    """mean |feature - target| of maps (B, C, H, W): a term of eq. 5 as printed.

    It is as large as the features are, and so differs between layers and between VGG weights.
    """
    return (feature - target).abs().mean(dtype=torch.float32)


def relative_distance(feature: Tensor, target: Tensor) -> Tensor:
    """mean |feature - target| / mean |target| of maps (B, C, H, W): a relative form of eq. 5.

    The division makes the distance independent of the scale of the features. This scale differs
    between layers and between VGG weights (torchvision's, normalised, distilled, our own).
    """
    # The means are float32, but bf16 maps stay bf16: that halves the memory traffic.
    error = (feature - target).abs().mean(dtype=torch.float32)
    return error / target.abs().mean(dtype=torch.float32).clamp(min=1e-6)


def unit_distance(feature: Tensor, target: Tensor) -> Tensor:
    """Mean over pixels of |f / |f| - t / |t||^2 (norms over channels): the distance of LPIPS.

    This is eq. 1 of Zhang et al. without channel weights. All pixels count the same, smooth skin as
    much as a strong edge. The range is 0 to 2 for non-negative features.
    """
    return (unit_pixels(feature) - unit_pixels(target)).square().sum(1).mean(dtype=torch.float32)


def squared_distance(feature: Tensor, target: Tensor) -> Tensor:
    """mean (feature - target)^2 / mean target^2: the content loss of SRGAN and SRFeat.

    Ledig et al., CVPR 2017, eq. 5; Park et al., ECCV 2018, eq. 2. Both scale VGG features by a
    constant (1 / 12.75 in SRGAN). The division replaces it and works for any VGG weights.
    """
    error = (feature.float() - target.float()).square().mean()
    return error / target.float().square().mean().clamp(min=1e-6)


FOCUS = (0.5, 0.58)
"""A point between the eyes and the mouth of an aligned face: (x, y) as shares of the sides."""

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "absolute": absolute_distance,
    "relative": relative_distance,
    "unit": unit_distance,
    "squared": squared_distance,
}


class PerceptualLoss(nn.Module):
    """sum_l w_l distance(vgg_l(sr), vgg_l(hr)), images (B, 3, H, W) in [0, 1].

    Args:
        vgg: frozen VGG whose taps are the layers to compare; the paper compares five.
        weights: one for each tap; default: 1 / taps, so that the loss is their mean.
        distance: "absolute" (the paper), "relative" (the same, divided by the size of the target's
            features), "squared" (SRGAN) or "unit" (LPIPS). At the same PSNR, training with "unit"
            gives the lowest LPIPS.
        crop: side in px of a random window that is compared instead of the whole image. All faces
            of a call share the window. At 128 px the loss costs a quarter. None for whole images.
        focus: share of the windows that are centred at `FOCUS`, on the inner face.
        pool: compare means of pool x pool px. With 2, a 256 px face costs as much as a window of
            128 px, and shapes count more than pores.

    Raises:
        ConfigError: an unknown distance, a wrong number of weights, a focus without a crop, or a
            crop or pool below 1.
    """

    def __init__(
        self,
        *,
        vgg: VGG19,
        weights: Sequence[float] | None = None,
        distance: str = "relative",
        crop: int | None = None,
        focus: float = 0.0,
        pool: int = 1,
    ) -> None:
        super().__init__()
        if weights is not None and len(weights) != len(vgg.taps):
            raise ConfigError(f"expected {len(vgg.taps)} weights, one per tap, got {len(weights)}")
        check_choice(DISTANCES, distance=distance)
        check_whole_or_none(1, crop=crop)
        check_whole(1, pool=pool)
        if focus and crop is None:
            raise ConfigError(f"focus={focus} needs a crop, got none: set crop, or focus=0")
        self.vgg = frozen(vgg)
        self.weights = tuple(weights or [1 / len(vgg.taps)] * len(vgg.taps))
        self.distance = DISTANCES[distance]
        self.crop = crop
        self.focus = focus
        self.pool = pool

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        sr, hr = self._windows(sr, hr)
        sr, hr = F.avg_pool2d(sr, self.pool), F.avg_pool2d(hr, self.pool)
        with torch.no_grad():
            targets = self.vgg(hr)
        total = sr.new_zeros((), dtype=torch.float32)
        for weight, feature, target in zip(self.weights, self.vgg(sr), targets, strict=True):
            total = total + weight * self.distance(feature, target)
        return total

    def _windows(self, *images: Tensor) -> list[Tensor]:
        side, size = self.crop, images[0].shape[-1]
        if side is None or side >= size or not self.focus or torch.rand(()) >= self.focus:
            return random_window(side, *images)
        left, top = (min(max(round(at * size - side / 2), 0), size - side) for at in FOCUS)
        return [image[..., top : top + side, left : left + side] for image in images]
