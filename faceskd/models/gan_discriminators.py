"""Discriminators of the adversarial baselines SRGAN and SRFeat: one score for a whole face.

SRGAN (Ledig et al., CVPR 2017, arXiv 1609.04802): eight 3x3 convolutions, every second one strided,
64 to 512 channels, batch normalisation except in the first, LeakyReLU, then two fully connected
layers. SRFeat (Park et al., ECCV 2018) has one discriminator on images and one on their VGG feature
maps, both of the same kind.

The outputs are logits. The loss applies the sigmoid.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.blocks import SLOPE
from faceskd.models.frozen import frozen
from faceskd.models.vgg import VGG19

STAGE_WIDTHS = (1, 2, 4, 8)
"""Channels of the four pairs of convolutions, as multiples of `width`."""


def _convolution(channels: int, out: int, stride: int, *, norm: bool = True) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=not norm)
    norms = [nn.BatchNorm2d(out)] if norm else []
    return nn.Sequential(conv, *norms, nn.LeakyReLU(SLOPE, inplace=True))


class _Discriminator(nn.Module):
    """Four pairs of convolutions (the second of each strided) and two fully connected layers."""

    def __init__(
        self, *, channels: int, size: int, width: int, hidden: int, strides: Sequence[int]
    ) -> None:
        super().__init__()
        widths = [units * width for units in STAGE_WIDTHS]
        layers: list[nn.Module] = []
        for index, (out, stride) in enumerate(zip(widths, strides, strict=True)):
            layers.append(_convolution(channels, out, 1, norm=index > 0))
            layers.append(_convolution(out, out, stride))
            if size % stride:
                raise ConfigError(
                    f"expected a size divisible by all strides, got {size} px before a stride"
                )
            channels, size = out, size // stride
        self.body = nn.Sequential(*layers)
        self.verdict = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * size * size, hidden),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Linear(hidden, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.verdict(self.body(x))


class SRGANDiscriminator(_Discriminator):
    """SRGAN's discriminator of images: RGB in [0, 1], (B, 3, S, S) -> logits (B, 1).

    SRFeat's image discriminator is the same. It has 138.9 M parameters for 256 px faces, 134.2 M of
    them in the first fully connected layer. SRGAN trained on crops of 96 px.

    Args:
        image_size: side of the images in pixels, a multiple of 16.
        width: channels of the first convolutions.
        hidden: outputs of the first fully connected layer.

    Raises:
        ConfigError: the image size is not a multiple of 16.
    """

    def __init__(self, *, image_size: int = 256, width: int = 64, hidden: int = 1024) -> None:
        super().__init__(
            channels=3, size=image_size, width=width, hidden=hidden, strides=(2, 2, 2, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 1) of images (B, 3, S, S)."""
        return super().forward(2 * x - 1)


class SRFeatFeatureDiscriminator(_Discriminator):
    """SRFeat's discriminator of VGG features: maps (B, C, S, S) -> logits (B, 1).

    The defaults are for VGG-19's conv5_4 of a 256 px face. Its 16x16 maps are halved only twice, so
    that 4x4 cells remain for the fully connected layers. 13.4 M parameters.

    Args:
        channels: channels of the feature maps.
        feature_size: side of the feature maps in cells, a multiple of 4.
        width: channels of the first convolutions.
        hidden: outputs of the first fully connected layer.

    Raises:
        ConfigError: the feature size is not a multiple of 4.
    """

    def __init__(
        self, *, channels: int = 512, feature_size: int = 16, width: int = 64, hidden: int = 1024
    ) -> None:
        super().__init__(
            channels=channels, size=feature_size, width=width, hidden=hidden, strides=(2, 2, 1, 1)
        )


class ImageAndFeatureDiscriminator(nn.Module):
    """The discriminators of SRGAN (images) and SRFeat (images and VGG features) in one module.

    Images (B, 3, S, S) in [0, 1] -> list of logits (B, 1): of the image, then of its VGG features.

    SRFeat (Park et al., ECCV 2018) uses the features of the deepest tap, and trains both
    discriminators together. SRGAN (Ledig et al., CVPR 2017) has the first one only.

    Args:
        image: discriminator of images.
        feature: discriminator of VGG features; None for SRGAN.
        vgg: frozen VGG that computes the features; needed if `feature` is given.

    Raises:
        ConfigError: only one of `feature` and `vgg` is given.
    """

    def __init__(
        self,
        *,
        image: SRGANDiscriminator,
        feature: SRFeatFeatureDiscriminator | None = None,
        vgg: VGG19 | None = None,
    ) -> None:
        super().__init__()
        if (feature is None) != (vgg is None):
            raise ConfigError("expected both feature and vgg or neither, got one of them")
        self.image = image
        self.feature = feature
        self.vgg = frozen(vgg) if vgg is not None else None

    def forward(self, images: Tensor) -> list[Tensor]:
        scores = [self.image(images)]
        if self.feature is not None and self.vgg is not None:
            scores.append(self.feature(self.vgg(images)[-1]))
        return scores
