"""Faces and dictionaries for tiny networks."""

import torch
from torch import Tensor

from faceskd.dictionary import Dictionary
from faceskd.models import VGG19

SIZE = 16
"""Side of LR faces: a component is still more than a cell at stride 16."""


def random_dictionary(encoder: VGG19) -> Dictionary:
    return Dictionary.random(encoder.taps, encoder.feature_info, atoms=4)


def faces(batch: int, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """LR faces, and component boxes that differ from face to face."""
    generator = torch.Generator().manual_seed(batch)
    side = 8 * size
    typical = torch.tensor(
        [[0.16, 0.2, 0.42, 0.46], [0.58, 0.2, 0.84, 0.46], [0.38, 0.42, 0.6, 0.64],
         [0.28, 0.6, 0.72, 0.96]]
    )  # fmt: skip
    shifts = 0.05 * torch.rand(batch, 1, 2, generator=generator).repeat(1, 1, 2)
    return torch.rand(batch, 3, size, size, generator=generator), (typical + shifts) * side
