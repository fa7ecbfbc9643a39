"""Training an encoder without a pretrained VGG-19: an autoencoder of HR faces.

A small decoder for each feature map reconstructs the image from it; the losses of all decoders are
summed. After training, the decoders are dropped and the encoder is frozen. The dictionary is built
from its features.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.engine.base import Batch
from faceskd.engine.encoder_training import EncoderTraining
from faceskd.models.base import FeatureInfo
from faceskd.models.blocks import SLOPE, conv3x3, random_window
from faceskd.models.vgg import VGG19


def tap_decoder(info: FeatureInfo) -> nn.Sequential:
    """A decoder with one hidden layer: features (B, C, H/s, W/s) -> image (B, 3, H, W)."""
    return nn.Sequential(
        nn.LeakyReLU(SLOPE),
        conv3x3(info.channels, 2 * info.channels),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(2 * info.channels, 3 * info.stride**2, 1),
        nn.PixelShuffle(info.stride),
    )


class Autoencoder(EncoderTraining):
    """Minimises the L1 distance between HR faces and the reconstructions from each feature map.

    Args:
        encoder, options: see `EncoderTraining`.

    Raises:
        ConfigError: the crop is no multiple of the stride of the deepest feature map, so that it
            cannot be reconstructed whole.
    """

    needs = ("hr",)

    def __init__(self, *, encoder: VGG19, **options: Any) -> None:
        super().__init__(encoder=encoder, **options)
        stride = encoder.feature_info[-1].stride
        if self.crop is not None and self.crop % stride:
            raise ConfigError(f"expected engine.crop in multiples of {stride} px, got {self.crop}")
        self.decoders = nn.ModuleList(tap_decoder(info) for info in encoder.feature_info)

    def reconstruct(self, hr: Tensor) -> Sequence[Tensor]:
        """The reconstructed images, (B, 3, H, W) for each feature map."""
        features = self.encoder(hr)
        return [decoder(f) for decoder, f in zip(self.decoders, features, strict=True)]

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        hr = batch["hr"]
        (hr,) = random_window(self.crop, hr)
        hr = hr.to(memory_format=torch.channels_last)
        loss = torch.stack([F.l1_loss(image.float(), hr) for image in self.reconstruct(hr)]).sum()
        self.check_loss(loss)
        self.log("loss", loss, prog_bar=True, batch_size=len(hr))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        hr = batch["hr"]
        for tap, image in zip(self.encoder.taps, self.reconstruct(hr), strict=True):
            mse = (image.float().clamp(0, 1) - hr).square().mean(dim=(1, 2, 3))
            psnr = (-10 * mse.log10()).mean()
            self.log(f"val/psnr_{tap}", psnr, batch_size=len(hr), sync_dist=True)
