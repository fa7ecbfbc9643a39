"""Discriminators: on feature maps for distillation, on images for the teacher."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from faceskd.models.blocks import SLOPE


class PatchDiscriminator(nn.Sequential):
    """Strided convolutions to a map of scores, one a patch: (B, C, H, W) -> (B, 1, h, w).

    Jo et al. do not print their feature discriminators. Following Chung et al. (ICML 2020), ours
    are strided convolutions with LeakyReLU; spectral norm stands in for batch normalisation,
    which mixes the faces of a batch and wants large ones.

    Args:
        channels: of the input.
        width: channels of the first convolution; each further one doubles them, up to 8 times.
        layers: strided convolutions; a score sees about 2 ** (layers + 2) cells.
    """

    def __init__(self, *, channels: int, width: int = 32, layers: int = 2) -> None:
        blocks: list[nn.Module] = []
        for index in range(layers):
            out = width * min(2**index, 8)
            conv = nn.Conv2d(channels, out, 4, stride=2, padding=1)
            blocks += [spectral_norm(conv), nn.LeakyReLU(SLOPE, inplace=True)]
            channels = out
        blocks.append(spectral_norm(nn.Conv2d(channels, 1, 3, padding=1)))
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
