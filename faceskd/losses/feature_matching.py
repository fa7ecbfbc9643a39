"""Distance in the features of a discriminator.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs"
(pix2pixHD), CVPR 2018, eq. 4; section 3.2 of Wan et al., CVPR 2020.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.models.discriminators import MultiScaleDiscriminator


def discriminator_features(discriminator: MultiScaleDiscriminator, image: Tensor) -> list[Tensor]:
    """The maps after each activation of each patch discriminator, for images (B, 3, H, W)."""
    features = []
    for layers in discriminator.discriminators:
        x = image
        for layer in layers:  # type: ignore[attr-defined]
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                features.append(x)
        image = F.avg_pool2d(image, 2)
    return features


def feature_matching(discriminator: MultiScaleDiscriminator, sr: Tensor, target: Tensor) -> Tensor:
    """sum_i mean |D_i(sr) - D_i(target)|, in float32; divided by the number of image sizes."""
    with torch.no_grad():
        wanted = discriminator_features(discriminator, target)
    came = discriminator_features(discriminator, sr)
    terms = [F.l1_loss(a.float(), b.float()) for a, b in zip(came, wanted, strict=True)]
    return torch.stack(terms).sum() / len(discriminator.discriminators)
