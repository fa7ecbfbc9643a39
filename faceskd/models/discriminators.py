"""Discriminators: on feature maps for distillation, on images for the teacher."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from faceskd.models.base import SuperResolver
from faceskd.models.blocks import SLOPE, random_window, unit_pixels
from faceskd.models.vgg import VGG19


class PatchDiscriminator(nn.Sequential):
    """Strided convolutions to a map of scores, one a patch: (B, C, H, W) -> (B, 1, h, w).

    Jo et al. do not print their feature discriminators. Following Chung et al. (ICML 2020), ours
    are strided convolutions with LeakyReLU; spectral norm stands in for batch normalisation,
    which mixes the faces of a batch and wants large ones.

    Args:
        channels: of the input.
        width: channels of the first convolution; each further one doubles them, up to 8 times.
        layers: strided convolutions; a score sees about 2 ** (layers + 2) cells.
        spectral: normalise the convolutions spectrally.
    """

    def __init__(
        self, *, channels: int, width: int = 32, layers: int = 2, spectral: bool = True
    ) -> None:
        normalise = spectral_norm if spectral else nn.Identity()
        blocks: list[nn.Module] = []
        for index in range(layers):
            out = width * min(2**index, 8)
            conv = nn.Conv2d(channels, out, 4, stride=2, padding=1)
            blocks += [normalise(conv), nn.LeakyReLU(SLOPE, inplace=True)]
            channels = out
        blocks.append(normalise(nn.Conv2d(channels, 1, 3, padding=1)))
        super().__init__(*blocks)


class MultiScaleDiscriminator(nn.Module):
    """One patch discriminator a scale of the image: (B, 3, H, W) -> list of (B, 1, h, w).

    DFDNet judges the restored face at several sizes; an image is halved by area each time.
    """

    def __init__(self, *, scales: int = 3, width: int = 32, layers: int = 3) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            PatchDiscriminator(channels=3, width=width, layers=layers) for _ in range(scales)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        scores = []
        for discriminator in self.discriminators:
            scores.append(discriminator(image))
            image = F.avg_pool2d(image, 2)
        return scores


class ProjectedDiscriminator(nn.Module):
    """Patch discriminators on a frozen VGG's features: (B, 3, H, W) -> list of (B, 1, h, w).

    After Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021, without their random
    mixing of channels and scales. A discriminator of pixels has to learn first what texture is,
    from a few hundred faces; this one sees it from its first step, and finds the weave that a
    perceptual loss invites. Features have unit mean square at every pixel, as LPIPS's: a
    discriminator need not ask how bright or how sharp an edge is. Nothing is spectrally
    normalised; where it was, the first 200 steps went alike.

    Args:
        vgg: with the layers to judge as its taps. Frozen.
        width, layers: of each layer's patch discriminator.
        crop: side of a window, px, drawn anew in each call, that alone is judged, at multiples of
            8 px: a pattern fixed to the LR face's pixels is always in the same place to the
            strided convolutions, which find it the sooner. None judges whole images.
    """

    def __init__(
        self, *, vgg: VGG19, width: int = 32, layers: int = 2, crop: int | None = None
    ) -> None:
        super().__init__()
        self.vgg = vgg.requires_grad_(False).eval()
        self.crop = crop
        self.discriminators = nn.ModuleList(
            PatchDiscriminator(channels=info.channels, width=width, layers=layers, spectral=False)
            for info in vgg.feature_info
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        (window,) = random_window(self.crop, image, step=SuperResolver.scale)
        return [
            discriminator(_unit_mean_square(feature))
            for discriminator, feature in zip(self.discriminators, self.vgg(window), strict=True)
        ]


def _unit_mean_square(feature: Tensor) -> Tensor:
    channels = feature.shape[1]
    return math.sqrt(channels) * unit_pixels(feature, eps=1e-4 * channels)


class FeatureDiscriminators(nn.Module):
    """One patch discriminator a distilled feature map (D_i of eq. 6 and 7, Jo et al. 2021).

    Args:
        channels: of each map.
        width, layers: of each discriminator.
    """

    def __init__(self, *, channels: Sequence[int], width: int = 32, layers: int = 2) -> None:
        super().__init__()
        self.discriminators = nn.ModuleList(
            PatchDiscriminator(channels=count, width=width, layers=layers) for count in channels
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [
            discriminator(feature)
            for discriminator, feature in zip(self.discriminators, features, strict=True)
        ]
