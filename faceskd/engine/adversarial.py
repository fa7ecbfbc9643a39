"""Training with an image discriminator, as DFDNet does; the teacher is trained so."""

from typing import Any

from torch import Tensor, nn

from faceskd.common.checks import check_not_negative
from faceskd.engine.base import Batch, Engine, inputs
from faceskd.losses.adversarial import AdversarialLoss, Scores


class Adversarial(Engine):
    """Image losses plus the multi-scale adversarial loss of DFDNet.

    Args:
        discriminator: network from images (B, 3, H, W) to a list of score maps.
        adversarial: adversarial loss: LSGAN (default) or hinge (as DFDNet).
        adversarial_weight: weight of the adversarial term; 0 removes it and the discriminator.
        adversarial_start: number of steps before the adversarial term starts, because the network's
            first images are noise.

    Raises:
        ConfigError: the weight is below 0.
    """

    def __init__(
        self,
        *,
        discriminator: nn.Module,
        adversarial: AdversarialLoss,
        adversarial_weight: float = 1.0,
        adversarial_start: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_not_negative(**{"engine.adversarial_weight": adversarial_weight})
        self.discriminator = discriminator if adversarial_weight > 0 else None
        self.adversarial = adversarial
        self.adversarial_weight = adversarial_weight
        self.adversarial_start = adversarial_start

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Any]:
        sr = self.network(**inputs(self.network, batch))
        total, parts = self.image_losses(sr, batch)
        if self.uses_discriminator():
            assert self.discriminator is not None
            parts["adversarial"] = self.adversarial.generator(self.discriminator(sr))
            total = total + self.adversarial_weight * parts["adversarial"]
        return total, parts, (batch["hr"], sr.detach())

    def discriminator_loss(self, kept: Any) -> Tensor:
        hr, sr = kept
        assert self.discriminator is not None
        real: Scores = self.discriminator(hr)
        return self.adversarial.discriminator(real, self.discriminator(sr))
