"""Tiny networks, and faces and dictionaries for them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from faceskd.models import VGG19, Student, SuperResolver
from faceskd.models.dictionary import Dictionary
from faceskd.models.weights import build_network

SIZE = 16
"""Side of LR faces: a component is still more than a cell at stride 16."""
VGG = "faceskd.models.vgg.VGG19"
STUDENT: dict[str, Any] = {
    "_target_": "faceskd.models.student.Student",
    "encoder": {"_target_": VGG, "width": 1, "weights": "random"},
}
TEACHER = STUDENT | {"_target_": "faceskd.models.teacher.Teacher", "dictionary": None}
BOXES = torch.tensor([[[8.0, 12, 24, 28], [40, 12, 56, 28], [24, 28, 40, 44], [20, 40, 44, 62]]])
"""Component boxes of one face of 64 px."""


@pytest.fixture
def student() -> Student:
    torch.manual_seed(0)
    network = build_network(STUDENT)
    assert isinstance(network, Student)
    network(torch.rand(1, 3, 8, 8))  # moves spectral norms
    return network


def faces_of(network: SuperResolver) -> Tensor:
    """What it makes of one LR face of 8 px, always the same."""
    lr = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return network.eval()(lr, BOXES)


def randomise(module: nn.Module) -> nn.Module:
    """Give every parameter a value that a wrong place or order would show."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


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
