"""Training the mapping from the latent space of old photos to that of clean photos.

Wan et al., "Bringing Old Photos Back to Life" (CVPR 2020, arXiv 2004.09484), section 3.2.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from faceskd.common.checks import check_not_negative
from faceskd.common.errors import ConfigError, WeightsError
from faceskd.engine.base import Batch, Engine
from faceskd.losses.adversarial import AdversarialLoss, Scores
from faceskd.losses.feature_matching import feature_matching
from faceskd.models.discriminators import MultiScaleDiscriminator
from faceskd.models.frozen import frozen
from faceskd.models.old_photo import OldPhotoNet
from faceskd.models.old_photo_vae import OldPhotoVAE, cropped
from faceskd.models.weights import load_network


class MappingTraining(Engine):
    """Trains the mapping of an `OldPhotoNet` between two trained VAEs, which stay as they are.

    L = 60 |T(z_x) - z_y| + L_GAN + 10 (L_matching + L_VGG), where z_x and z_y are the latent maps
    of a damaged photo and of its clean form. L_GAN, L_matching (features of the discriminator) and
    L_VGG (`losses`) compare the restored photo with the clean photo as its VAE reconstructs it,
    because the frozen decoder can do no better.

    Args:
        old_vae: weights of the VAE of old photos (`experiment=old_vae_photos`).
        clean_vae: weights of the VAE of clean photos (`experiment=old_vae_clean`).
        discriminator: patch discriminators of images, at several sizes.
        adversarial: adversarial loss; the paper has LSGAN.
        latent_weight: weight of the L1 distance of latent maps; the paper has 60.
        matching_weight: weight of the feature matching loss; the paper has 10.
        adversarial_weight: weight of the adversarial loss; the paper has 1.
        adversarial_start: number of steps before the adversarial and the matching loss start.
        unknown: probability that the mask is hidden from the network, so that it also restores
            without one. Not in the paper.
        options: see `Engine`.

    Raises:
        ConfigError: the network is no `OldPhotoNet`, `unknown` is no probability, or a weight is
            below 0.
        WeightsError: a file is missing, or is no VAE of the same widths.
    """

    needs = ("lr", "hr", "mask")
    network: OldPhotoNet
    discriminator: MultiScaleDiscriminator

    def __init__(
        self,
        *,
        old_vae: Path | str,
        clean_vae: Path | str,
        discriminator: MultiScaleDiscriminator,
        adversarial: AdversarialLoss,
        latent_weight: float = 60.0,
        matching_weight: float = 10.0,
        adversarial_weight: float = 1.0,
        adversarial_start: int = 0,
        unknown: float = 0.25,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not isinstance(self.network, OldPhotoNet):
            raise ConfigError(f"expected model=old_photo, got a {type(self.network).__name__}")
        if not 0 <= unknown <= 1:
            raise ConfigError(f"expected engine.unknown as a probability, got {unknown}")
        check_not_negative(
            **{
                "engine.latent_weight": latent_weight,
                "engine.matching_weight": matching_weight,
                "engine.adversarial_weight": adversarial_weight,
            }
        )
        clean = _load_vae(clean_vae, "engine.clean_vae", "old_vae_clean")
        self.network.load_vaes(_load_vae(old_vae, "engine.old_vae", "old_vae_photos"), clean)
        self.clean = frozen(clean)
        self.discriminator = discriminator
        self.adversarial = adversarial
        self.latent_weight = latent_weight
        self.matching_weight = matching_weight
        self.adversarial_weight = adversarial_weight
        self.adversarial_start = adversarial_start
        self.unknown = unknown

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Any]:
        hidden = torch.rand(()) < self.unknown
        mask = None if hidden else batch["mask"]
        sr, (latent,) = self.network.forward_features(batch["lr"], mask=mask)
        with torch.no_grad():
            wanted = self.clean.encoder(batch["hr"])[0]
            target = cropped(self.clean.decoder(wanted), batch["hr"])
        total, parts = self.image_losses(sr, {"hr": target})
        parts["latent"] = F.l1_loss(latent.float(), wanted.float())
        total = total + self.latent_weight * parts["latent"]
        if self.uses_discriminator():
            parts["adversarial"] = self.adversarial.generator(self.discriminator(sr))
            parts["matching"] = feature_matching(self.discriminator, sr, target)
            total = total + self.adversarial_weight * parts["adversarial"]
            total = total + self.matching_weight * parts["matching"]
        return total, parts, (target, sr.detach())

    def discriminator_loss(self, kept: Any) -> Tensor:
        target, sr = kept
        real: Scores = self.discriminator(target)
        return self.adversarial.discriminator(real, self.discriminator(sr))

    def restored(self, batch: Batch) -> Tensor:
        with self.averaged():
            return self.network(batch["lr"], mask=batch.get("mask"))


def _load_vae(path: Path | str, option: str, experiment: str) -> OldPhotoVAE:
    network = load_network(path)
    if not isinstance(network, OldPhotoVAE):
        raise WeightsError(
            f"expected the weights of experiment={experiment} as {option}, got a "
            f"{type(network).__name__} in {str(path)!r}"
        )
    return network
