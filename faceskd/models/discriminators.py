"""Discriminators on feature maps (for distillation) and on images (for teachers and students)."""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from faceskd.common.checks import check_whole_or_none
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import SLOPE, random_window, unit_pixels
from faceskd.models.frozen import frozen
from faceskd.models.initial import normal_weights
from faceskd.models.vgg import VGG19


class PatchDiscriminator(nn.Sequential):
    """Strided convolutions that give one score for each patch: (B, C, H, W) -> (B, 1, h, w).

    Jo et al. do not describe the layers of their feature discriminators. As in Chung et al. (ICML
    2020), ours are strided convolutions with LeakyReLU. Spectral norm replaces batch normalisation,
    which needs large batches and mixes their faces.

    Args:
        channels: input channels.
        width: channels of the first convolution. Each further one doubles them, up to 8 times.
        layers: number of strided convolutions. A score sees about 2 ** (layers + 2) cells.
        spectral: whether the convolutions have spectral norm.
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


class PatchGAN(nn.Module):
    """The 70x70 PatchGAN: RGB in [0, 1], (B, 3, H, W) -> (B, 1, h, w), h = H / 8 - 2.

    C64-C128-C256-C512 of Isola et al., "Image-to-Image Translation with Conditional Adversarial
    Networks", CVPR 2017, as CycleGAN (Zhu et al., ICCV 2017) uses it: 4x4 convolutions, instance
    norm except in the first, LeakyReLU. Each score sees 70x70 px, because the last two of the five
    convolutions have stride 1. 2.8 M parameters with width 64.

    Args:
        width: channels of the first convolution.
    """

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(SLOPE, inplace=True)]
        for times, stride in ((1, 2), (2, 2), (4, 1)):
            conv = nn.Conv2d(times * width, 2 * times * width, 4, stride, 1, bias=False)
            norm = nn.InstanceNorm2d(2 * times * width)
            layers += [conv, norm, nn.LeakyReLU(SLOPE, inplace=True)]
        self.body = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))
        normal_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        return self.body(2 * image - 1)


class MultiScaleDiscriminator(nn.Module):
    """One patch discriminator for each size of the image: (B, 3, H, W) -> list of (B, 1, h, w).

    As in DFDNet, the image is judged at several sizes. Each size is half of the one before, by area
    averaging.
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

    After Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021, without their random mixing
    of channels and scales. A discriminator on pixels must first learn from a few hundred faces what
    texture is. VGG features contain it from the first step, and they show the regular pattern that
    perceptual losses produce (docs/log.md). Each pixel's features are normalised to mean square 1,
    similar to LPIPS. So the scores do not depend on the brightness or strength of an edge. The
    convolutions have no spectral norm; with it, the first 200 steps were the same.

    Args:
        vgg: frozen VGG whose taps are the layers to judge.
        width, layers: of the patch discriminator of each layer.
        crop: side in px of the random window that is judged in each call. The window lies at
            multiples of 8 px, aligned with the LR pixels. So a pattern that is fixed to the LR
            pixels is always at the same place, and is found sooner. None judges whole images.

    Raises:
        ConfigError: the crop is below 1.
    """

    def __init__(
        self, *, vgg: VGG19, width: int = 32, layers: int = 2, crop: int | None = None
    ) -> None:
        super().__init__()
        check_whole_or_none(1, crop=crop)
        self.vgg = frozen(vgg)
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
    """One patch discriminator for each distilled feature map (D_i of eq. 6 and 7, Jo et al. 2021).

    Args:
        channels: channels of each map.
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
