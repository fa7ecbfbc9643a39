"""Distance in the feature space of a VGG-19.

Johnson et al., ECCV 2016; eq. 5 of Jo et al. 2021; Zhang et al., CVPR 2018.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.blocks import random_window, unit_pixels
from faceskd.models.vgg import VGG19


def relative_distance(feature: Tensor, target: Tensor) -> Tensor:
    """mean |feature - target| / mean |target|, of maps (B, C, H, W); eq. 5, made relative.

    Dividing by the mean activation makes it independent of the scale of a VGG's features, which
    differs by origin (torchvision's, normalised, distilled, our own) and by layer.
    """
    # Means in float32, maps as they are: in bf16 half the memory is read and written.
    error = (feature - target).abs().mean(dtype=torch.float32)
    return error / target.abs().mean(dtype=torch.float32).clamp(min=1e-6)


def unit_distance(feature: Tensor, target: Tensor) -> Tensor:
    """mean over pixels of |f / |f| - t / |t||^2, over channels; eq. 1 of Zhang et al., unweighted.

    Each pixel counts alike, whatever its activation: smooth skin as much as a strong edge. From 0
    to 2 for features that are not negative.
    """
    return (unit_pixels(feature) - unit_pixels(target)).square().sum(1).mean(dtype=torch.float32)


def squared_distance(feature: Tensor, target: Tensor) -> Tensor:
    """mean (feature - target)^2 / mean target^2: the content loss of SRGAN and SRFeat.

    Ledig et al., CVPR 2017, eq. 5; Park et al., ECCV 2018, eq. 2. Both scale VGG features by hand
    (1 / 12.75 in SRGAN); the division does it for a VGG of any origin.
    """
    error = (feature.float() - target.float()).square().mean()
    return error / target.float().square().mean().clamp(min=1e-6)


FOCUS = (0.5, 0.58)
"""Between eyes and mouth of an aligned face: across and down, in sides of the image."""

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relative": relative_distance,
    "unit": unit_distance,
    "squared": squared_distance,
}


class PerceptualLoss(nn.Module):
    """sum_l w_l distance(vgg_l(sr), vgg_l(hr)), images (B, 3, H, W) in [0, 1].

    Args:
        vgg: with the layers to compare in as its taps; the paper compares in five. Frozen.
        weights: one a tap; default 1 / taps, so that the loss is their mean.
        distance: "relative", the paper's; "squared", SRGAN's; or "unit", LPIPS's: at the same PSNR
            a network trained with it has the lower LPIPS, though that is measured in another
            network's features.
        crop: side of a window, px, the same for all faces of a call and drawn anew in each, that
            alone is compared; at 128 px the loss costs a quarter. None compares whole images.
        focus: share of the windows that lie around `FOCUS`, where what tells faces apart is.
        pool: side of squares, px, whose means are compared in the place of pixels: at 2 a face of
            256 px costs what a window of 128 does, and its shape counts, not its pores.

    Raises:
        ConfigError: an unknown distance, not as many weights as taps, or a focus without a crop.
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
            raise ConfigError(f"expected {len(vgg.taps)} weights, one a tap, got {len(weights)}")
        if distance not in DISTANCES:
            raise ConfigError(f"expected a distance of {', '.join(DISTANCES)}, got {distance!r}")
        if focus and crop is None:
            raise ConfigError(f"expected a crop with focus={focus}: it is a share of the windows")
        self.vgg = vgg.requires_grad_(False).eval()
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
