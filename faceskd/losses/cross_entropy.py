"""The adversarial loss of SRGAN and SRFeat, on logits."""

import torch
import torch.nn.functional as F
from torch import Tensor

from faceskd.losses.adversarial import AdversarialLoss, Scores


class CrossEntropy(AdversarialLoss):
    """G: -log s(fake); D: -log s(real) - log(1 - s(fake)), where s is the sigmoid.

    Goodfellow et al., NeurIPS 2014, with the non-saturating loss of the generator. Means over
    faces, summed over discriminators, in float32.
    """

    def generator(self, fake: Scores) -> Tensor:
        return torch.stack([F.softplus(-score.float()).mean() for score in fake]).sum()

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return torch.stack(
            [
                F.softplus(-r.float()).mean() + F.softplus(f.float()).mean()
                for r, f in zip(real, fake, strict=True)
            ]
        ).sum()
