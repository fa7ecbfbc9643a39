"""Losses of the scratch detector: logits and masks (B, 1, H, W) -> scalar, in float32."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError


class FocalLoss(nn.Module):
    """mean -w (1 - p)^gamma log p, where p is the probability of the right class.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, eq. 5. With gamma = 0 and
    balance None it is the binary cross-entropy.

    Args:
        gamma: how much less a pixel counts that is right already.
        balance: weight w of damaged pixels; intact ones have 1 - balance. None: 1 for all.

    Raises:
        ConfigError: gamma is below 0, or balance is outside [0, 1].
    """

    def __init__(self, *, gamma: float = 2.0, balance: float | None = None) -> None:
        super().__init__()
        if gamma < 0 or not (balance is None or 0 <= balance <= 1):
            raise ConfigError(
                "expected gamma of at least 0 and balance from 0 to 1, got "
                f"gamma={gamma}, balance={balance}"
            )
        self.gamma = gamma
        self.balance = balance

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        logits, mask = logits.float(), mask.float()
        entropy = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
        # 1 - p. It rounds to 0 for certain pixels, where powers below 1 have an infinite slope.
        wrong = -torch.expm1(-entropy)
        wrong = wrong.clamp(min=torch.finfo(wrong.dtype).tiny)
        loss = entropy if self.gamma == 0 else wrong**self.gamma * entropy
        if self.balance is not None:
            loss = loss * (mask * self.balance + (1 - mask) * (1 - self.balance))
        return loss.mean()


class DiceLoss(nn.Module):
    """1 - (2 sum p m + eps) / (sum p + sum m + eps), over all pixels of a batch.

    Milletari et al., "V-Net", 3DV 2016, with sums instead of sums of squares. p is the probability
    of damage, m the mask. It does not matter how rare damage is.

    Args:
        eps: makes the loss of an empty mask 0 if nothing is found.
    """

    def __init__(self, *, eps: float = 1.0) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, logits: Tensor, mask: Tensor) -> Tensor:
        found, mask = torch.sigmoid(logits.float()), mask.float()
        both = 2 * (found * mask).sum() + self.eps
        return 1 - both / (found.sum() + mask.sum() + self.eps)
