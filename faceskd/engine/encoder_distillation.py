"""Training an encoder to compute the features of a pretrained one.

The encoder learns to compute the features that a pretrained VGG-19 computes for the same images.
Half of the images are degraded, because the teacher queries its dictionary with degraded faces. The
result has no weights of the pretrained network, which is only the target. After Romero et al.,
"FitNets: Hints for Thin Deep Nets", ICLR 2015.
"""

from typing import Any

import torch
from torch import Tensor

from faceskd.common.errors import ConfigError
from faceskd.engine.base import Batch
from faceskd.engine.encoder_training import EncoderTraining
from faceskd.models.blocks import bicubic, random_window
from faceskd.models.frozen import frozen
from faceskd.models.vgg import VGG19

LEAST_SQUARE = 1e-6
"""Smallest mean square of features that errors are divided by: on flat images they may all be 0."""


class EncoderDistillation(EncoderTraining):
    """Minimises the relative squared error |f - t|^2 / |t|^2, averaged over the feature maps.

    Args:
        target: pretrained encoder with the same taps and width; frozen, and not part of
            checkpoints.
        encoder, options: see `EncoderTraining`.

    Raises:
        ConfigError: the two encoders' feature maps differ in number, channels or stride.
    """

    def __init__(self, *, encoder: VGG19, target: VGG19, **options: Any) -> None:
        super().__init__(encoder=encoder, **options)
        if (encoder.taps, encoder.feature_info) != (target.taps, target.feature_info):
            raise ConfigError(
                f"expected an encoder with the feature maps of its target, {target.taps} of width "
                f"{target.width}, got {encoder.taps} of width {encoder.width}"
            )
        self.target = frozen(target)

    def relative_errors(self, images: Tensor) -> list[Tensor]:
        """A scalar per feature map, for images (B, 3, H, W) in [0, 1]. 0: equal; 1: like zeros."""
        with torch.no_grad():
            wanted = self.target(images)
        return [
            (came.float() - feature.float()).square().mean()
            / feature.float().square().mean().clamp(min=LEAST_SQUARE)
            for came, feature in zip(self.encoder(images), wanted, strict=True)
        ]

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        (images,) = random_window(self.crop, self._images(batch))
        images = images.contiguous(memory_format=torch.channels_last)
        loss = torch.stack(self.relative_errors(images)).mean()
        self.check_loss(loss)
        self.log("loss", loss, prog_bar=True, batch_size=len(images))
        return loss

    def _images(self, batch: Batch) -> Tensor:
        """HR images of the first half of the batch, enlarged LR images of the second half."""
        half = (len(batch["hr"]) + 1) // 2
        scale = batch["hr"].shape[-1] // batch["lr"].shape[-1]
        soft = bicubic(batch["lr"][half:], scale).clamp(0, 1)
        return torch.cat([batch["hr"][:half], soft])

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        for tap, error in zip(self.encoder.taps, self.relative_errors(batch["hr"]), strict=True):
            self.log(f"val/error_{tap}", error, batch_size=len(batch["hr"]), sync_dist=True)
