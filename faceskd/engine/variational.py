"""Training the two VAEs of old photo restoration.

Wan et al., "Bringing Old Photos Back to Life" (CVPR 2020, arXiv 2004.09484), section 3.1.
"""

from typing import Any

import torch
from torch import Tensor, nn

from faceskd.common.checks import check_not_negative
from faceskd.common.errors import ConfigError
from faceskd.engine.base import Batch, Engine
from faceskd.engine.messages import WARNING, say
from faceskd.losses.adversarial import AdversarialLoss
from faceskd.models.old_photo_vae import OldPhotoVAE, cropped, drawn

NOT_ALIGNED = (
    "data.real is null: the latent spaces of real and generated old photos are not aligned, and "
    "the network may fail on real photos"
)


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, 1)), the mean over all latent values, in float32."""
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


class Variational(Engine):
    """Trains a VAE on the degraded images of the batch: each is its own target.

    The loss is the sum of the image losses, the KL divergence, and an adversarial loss on images.
    With a latent discriminator, real old photos (`real` of the batch) are encoded, too. Then the
    discriminator tells the latent maps of generated from those of real old photos, and the encoder
    learns to make those of real photos look like those of generated ones. So the mapping, which
    learns from generated photos, fits real ones.

    Args:
        discriminator: network from images (B, 3, H, W) to a list of score maps.
        latent_discriminator: network from latent maps (B, C, h, w) to a score map; None: no
            alignment.
        adversarial: adversarial loss of both; the paper has LSGAN.
        kl_weight: weight of the KL divergence, which is a mean here and a sum in the paper.
        adversarial_weight: weight of the adversarial loss on images.
        alignment_weight: weight of the adversarial loss on latent maps.
        adversarial_start: number of steps before both start.
        options: see `Engine`.

    Raises:
        ConfigError: the network is no `OldPhotoVAE`, or a weight is below 0.
    """

    needs = ("lr",)
    network: OldPhotoVAE
    discriminator: nn.ModuleDict

    def __init__(
        self,
        *,
        discriminator: nn.Module,
        latent_discriminator: nn.Module | None,
        adversarial: AdversarialLoss,
        kl_weight: float = 0.01,
        adversarial_weight: float = 1.0,
        alignment_weight: float = 1.0,
        adversarial_start: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not isinstance(self.network, OldPhotoVAE):
            raise ConfigError(
                f"expected a VAE (model=old_photo_vae), got a {type(self.network).__name__}"
            )
        check_not_negative(
            **{
                "engine.kl_weight": kl_weight,
                "engine.adversarial_weight": adversarial_weight,
                "engine.alignment_weight": alignment_weight,
            }
        )
        self.discriminator = nn.ModuleDict({"images": discriminator})
        if latent_discriminator is not None:
            self.discriminator["latents"] = latent_discriminator
        self.adversarial = adversarial
        self.kl_weight = kl_weight
        self.adversarial_weight = adversarial_weight
        self.alignment_weight = alignment_weight
        self.adversarial_start = adversarial_start

    def on_train_start(self) -> None:
        super().on_train_start()
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if "latents" in self.discriminator and getattr(data, "real", None) is None:
            say(NOT_ALIGNED, WARNING)

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Any]:
        real = batch.get("real") if "latents" in self.discriminator else None
        images = batch["lr"] if real is None else torch.cat([batch["lr"], real])
        mean, log_variance = self.network.encoder(images)
        latent = drawn(mean, log_variance)
        sr = cropped(self.network.decoder(latent), images)
        total, parts = self.image_losses(sr, {"hr": images})
        parts["kl"] = kl_divergence(mean, log_variance)
        total = total + self.kl_weight * parts["kl"]
        count = len(batch["lr"])
        generated, aligned = latent[:count], latent[count:]
        if self.uses_discriminator():
            parts["adversarial"] = self.adversarial.generator(self.discriminator["images"](sr))
            total = total + self.adversarial_weight * parts["adversarial"]
            if len(aligned):
                scores = [self.discriminator["latents"](aligned)]
                parts["alignment"] = self.adversarial.generator(scores)
                total = total + self.alignment_weight * parts["alignment"]
        return total, parts, (images, sr.detach(), generated.detach(), aligned.detach())

    def discriminator_loss(self, kept: Any) -> Tensor:
        images, sr, generated, aligned = kept
        judge = self.discriminator["images"]
        loss = self.adversarial.discriminator(judge(images), judge(sr))
        if len(aligned):
            judge = self.discriminator["latents"]
            loss = loss + self.adversarial.discriminator([judge(generated)], [judge(aligned)])
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        super().validation_step({**batch, "hr": batch["lr"]}, batch_index)

    def pictures(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        return {"photo": batch["lr"], "reconstruction": self.restored(batch).float()}
