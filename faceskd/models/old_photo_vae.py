"""The variational autoencoders of old photographs.

Wan et al., "Bringing Old Photos Back to Life" (CVPR 2020, arXiv 2004.09484), section 3.1: one VAE
for real and generated old photos, and one for clean photos. The latent maps have a quarter of the
size. Ours are lighter than those of the paper, have no instance norm (a tile of a photo would get
other colours than its neighbour), and enlarge without a grid (`faceskd.models.blocks`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.base import OLD_PHOTOS, FeatureInfo, SuperResolver
from faceskd.models.blocks import SLOPE, ResidualBlock, conv3x3, upsampled_conv

STRIDE = 4
"""Sides of images per sides of latent maps."""

LOG_VARIANCES = (-12.0, 6.0)
"""Limits of the logarithm of the latent variance."""


def padded(image: Tensor) -> Tensor:
    """An image with sides that are multiples of `STRIDE`, by repeating its last pixels."""
    height, width = image.shape[-2:]
    return F.pad(image, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")


def blocks_of(channels: int, count: int) -> nn.Sequential:
    """A number of residual blocks."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


class OldPhotoEncoder(nn.Module):
    """Images (B, 3, H, W) in [0, 1] -> mean and log variance, (B, C, ceil(H/4), ceil(W/4)) each."""

    def __init__(self, *, widths: Sequence[int], latent: int, blocks: int) -> None:
        super().__init__()
        first, second, third = widths
        self.body = nn.Sequential(
            conv3x3(3, first),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(first, second, 4, stride=2, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(second, third, 4, stride=2, padding=1),
            blocks_of(third, blocks),
        )
        self.moments = nn.Conv2d(third, 2 * latent, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.moments(self.body(padded(2 * image - 1))).chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCES)


class OldPhotoDecoder(nn.Module):
    """Latent maps (B, C, h, w) -> images (B, 3, 4h, 4w)."""

    def __init__(self, *, widths: Sequence[int], latent: int, blocks: int) -> None:
        super().__init__()
        first, second, third = widths
        self.body = nn.Sequential(
            conv3x3(latent, third),
            blocks_of(third, blocks),
            nn.LeakyReLU(SLOPE, inplace=True),
            upsampled_conv(third, second, detail=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            upsampled_conv(second, first, detail=True),
            nn.LeakyReLU(SLOPE, inplace=True),
            conv3x3(first, 3),
        )

    def forward(self, latent: Tensor) -> Tensor:
        return self.body(latent) + 0.5


def check_widths(widths: Sequence[int]) -> None:
    """Raise a ConfigError unless there are three widths."""
    if len(widths) != 3:
        raise ConfigError(f"expected three widths, got {list(widths)}")


class OldPhotoVAE(SuperResolver):
    """A variational autoencoder of scale 1: images (B, 3, H, W) of any size -> the same images.

    In training mode the latent map is drawn from its distribution, else it is the mean.

    Args:
        widths: channels at the full size, 1/2 and 1/4 of it.
        latent: channels of the latent map.
        blocks: residual blocks of the encoder, and of the decoder.

    Raises:
        ConfigError: not three widths.

    Example:
        >>> vae = OldPhotoVAE(widths=(4, 8, 8), latent=6, blocks=1).eval()
        >>> image, (latent,) = vae.forward_features(torch.rand(1, 3, 30, 64))
        >>> tuple(image.shape), tuple(latent.shape)
        ((1, 3, 30, 64), (1, 6, 8, 16))
    """

    scale = 1
    purpose = OLD_PHOTOS
    size = 256

    def __init__(
        self, *, widths: Sequence[int] = (16, 32, 64), latent: int = 48, blocks: int = 3
    ) -> None:
        super().__init__()
        check_widths(widths)
        self.encoder = OldPhotoEncoder(widths=widths, latent=latent, blocks=blocks)
        self.decoder = OldPhotoDecoder(widths=widths, latent=latent, blocks=blocks)
        self.feature_info = [FeatureInfo(latent, STRIDE)]

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        mean, log_variance = self.encoder(lr)
        latent = drawn(mean, log_variance) if self.training else mean
        return cropped(self.decoder(latent), lr), [latent]


def drawn(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of the normal distribution with this mean and variance, with gradients for both."""
    return mean + (0.5 * log_variance).exp() * torch.randn_like(mean)


def cropped(image: Tensor, original: Tensor) -> Tensor:
    """An image without the rows and columns that the padded original had more."""
    return image[..., : original.shape[-2], : original.shape[-1]]
