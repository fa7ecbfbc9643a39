"""Training losses: one file for each kind, and their weighted sum."""

from collections.abc import Mapping
from typing import TypedDict

from torch import Tensor, nn

from faceskd.losses.adversarial import Hinge, LeastSquares
from faceskd.losses.box import InBox
from faceskd.losses.detector import DetectorLoss
from faceskd.losses.distillation import FeatureDistillation
from faceskd.losses.distribution import BlockDistribution
from faceskd.losses.perceptual import PerceptualLoss
from faceskd.losses.reconstruction import Charbonnier, L1Loss, MSELoss
from faceskd.losses.segmentation import DiceLoss, FocalLoss

__all__ = [
    "BlockDistribution",
    "Charbonnier",
    "DetectorLoss",
    "DiceLoss",
    "FeatureDistillation",
    "FocalLoss",
    "Hinge",
    "InBox",
    "L1Loss",
    "LeastSquares",
    "MSELoss",
    "PerceptualLoss",
    "WeightedSum",
]


class Term(TypedDict):
    """One term of a weighted sum."""

    weight: float
    loss: nn.Module


class WeightedSum(nn.Module):
    """sum_i weight_i loss_i(sr, hr).

    Args:
        terms: name -> {weight, loss}. A term that is None or has weight 0 is skipped and costs
            nothing. If `terms` is None, the sum is zero.

    Examples:
        >>> import torch
        >>> loss = WeightedSum(terms={"l2": {"weight": 100.0, "loss": MSELoss()}})
        >>> total, parts = loss(torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1))
        >>> round(total.item(), 4), round(parts["l2"].item(), 4)
        (1.0, 0.01)
    """

    def __init__(self, *, terms: Mapping[str, Term | None] | None) -> None:
        super().__init__()
        kept = {name: term for name, term in (terms or {}).items() if term and term["weight"]}
        self.weights = {name: float(term["weight"]) for name, term in kept.items()}
        self.losses = nn.ModuleDict({name: term["loss"] for name, term in kept.items()})

    def forward(self, sr: Tensor, hr: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """SR and HR images (B, 3, H, W) -> the weighted sum, and the terms without weights."""
        parts = {name: loss(sr, hr) for name, loss in self.losses.items()}
        total = sum((self.weights[name] * part for name, part in parts.items()), sr.new_zeros(()))
        return total, parts
