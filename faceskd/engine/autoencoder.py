"""Training an encoder where no pretrained VGG-19 is at hand: an autoencoder of HR faces.

Every tap must tell the face it came from: a light decoder of its own draws the image from it, and
the losses are summed. Afterwards the decoders are thrown away and the encoder is fixed; the
dictionary is built in its feature space.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.engine.base import Batch
from faceskd.engine.encoder_training import EncoderTraining
from faceskd.models.base import FeatureInfo
from faceskd.models.blocks import SLOPE, conv3x3, random_window
from faceskd.models.vgg import VGG19


def tap_decoder(info: FeatureInfo) -> nn.Sequential:
    """(B, C, H/s, W/s) -> (B, 3, H, W), in one nonlinear step."""
    return nn.Sequential(
        nn.LeakyReLU(SLOPE),
        conv3x3(info.channels, 2 * info.channels),
        nn.LeakyReLU(SLOPE, inplace=True),
        nn.Conv2d(2 * info.channels, 3 * info.stride**2, 1),
        nn.PixelShuffle(info.stride),
    )


class Autoencoder(EncoderTraining):
    """L1 between HR faces and what each tap's decoder makes of its features.

    Args:
        encoder, options: see `EncoderTraining`.
    """

    def __init__(self, *, encoder: VGG19, **options: Any) -> None:
        super().__init__(encoder=encoder, **options)
        self.decoders = nn.ModuleList(tap_decoder(info) for info in encoder.feature_info)

    def reconstruct(self, hr: Tensor) -> Sequence[Tensor]:
        """One image (B, 3, H, W) a tap."""
        features = self.encoder(hr)
        return [decoder(f) for decoder, f in zip(self.decoders, features, strict=True)]

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        hr = batch["hr"]
        (hr,) = random_window(self.crop, hr)
        hr = hr.to(memory_format=torch.channels_last)
        loss = torch.stack([F.l1_loss(image.float(), hr) for image in self.reconstruct(hr)]).sum()
        self.log("loss", loss, prog_bar=True, batch_size=len(hr))
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        hr = batch["hr"]
        for tap, image in zip(self.encoder.taps, self.reconstruct(hr), strict=True):
            mse = (image.float().clamp(0, 1) - hr).square().mean(dim=(1, 2, 3))
            psnr = (-10 * mse.log10()).mean()
            self.log(f"val/psnr_{tap}", psnr, batch_size=len(hr), sync_dist=True)
