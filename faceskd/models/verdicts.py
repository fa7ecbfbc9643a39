"""SRGAN's and SRFeat's discriminators as one module: from images to one verdict or two."""

from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.gan_discriminators import SRFeatFeatureDiscriminator, SRGANDiscriminator
from faceskd.models.vgg import VGG19


class Verdicts(nn.Module):
    """Images (B, 3, S, S) in [0, 1] -> logits (B, 1) of the image, and of its VGG features.

    SRGAN (Ledig et al., CVPR 2017) judges images; SRFeat (Park et al., ECCV 2018) judges the
    features of the deepest tap too, and trains both discriminators at once.

    Args:
        image: judges the image.
        feature: judges features; None leaves them out.
        vgg: what they are the features of; frozen.

    Raises:
        ConfigError: a feature discriminator without its VGG, or the other way round.
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
            raise ConfigError("expected a feature discriminator and its vgg together, got one")
        self.image = image
        self.feature = feature
        self.vgg = vgg.requires_grad_(False).eval() if vgg is not None else None

    def forward(self, images: Tensor) -> list[Tensor]:
        verdicts = [self.image(images)]
        if self.feature is not None and self.vgg is not None:
            verdicts.append(self.feature(self.vgg(images)[-1]))
        return verdicts
