"""Adversarial losses on the scores of one or more discriminators, each (B, 1, h, w).

Each loss is a mean over patches and faces, summed over the discriminators as in eq. 6 and 7 of
Jo et al. 2021, in float32.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

Scores = Sequence[Tensor]


class AdversarialLoss(nn.Module):
    """A pair of losses: one for the generator, one for the discriminator."""

    @abstractmethod
    def generator(self, fake: Scores) -> Tensor:
        """Loss of the generator, from the scores of its images."""

    @abstractmethod
    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        """Loss of the discriminator, from the scores of real and of generated images."""


def _sum(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum()


class LeastSquares(AdversarialLoss):
    """LSGAN (Mao et al., ICCV 2017): G: (D(fake) - 1)^2; D: (D(real) - 1)^2 + D(fake)^2."""

    def generator(self, fake: Scores) -> Tensor:
        return _sum([(score.float() - 1).square().mean() for score in fake])

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return _sum(
            [
                (r.float() - 1).square().mean() + f.float().square().mean()
                for r, f in zip(real, fake, strict=True)
            ]
        )


class Hinge(AdversarialLoss):
    """Hinge loss, as in DFDNet: G: -D(fake); D: max(0, 1 - D(real)) + max(0, 1 + D(fake))."""

    def generator(self, fake: Scores) -> Tensor:
        return _sum([-score.float().mean() for score in fake])

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return _sum(
            [
                torch.relu(1 - r.float()).mean() + torch.relu(1 + f.float()).mean()
                for r, f in zip(real, fake, strict=True)
            ]
        )
