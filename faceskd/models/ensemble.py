"""Several SR faces of one LR face: of several networks, and of its mirror image."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from faceskd.faces.components import mirror_boxes
from faceskd.models.base import SuperResolver


def from_mirror(
    forward: Callable[[Tensor, Tensor], Tensor], lr: Tensor, boxes: Tensor, *, scale: int
) -> Tensor:
    """The SR faces (B, 3, H, W) that `forward` makes of the mirrored faces, mirrored back."""
    return forward(lr.flip(-1), mirror_boxes(boxes, scale * lr.shape[-1])).flip(-1)


class Ensemble(SuperResolver):
    """The mean of the SR faces of networks that were trained apart.

    What they do not agree on is as often wrong as right, and fades; so it is what a student is
    best taught with (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section
    3). Its feature maps are those of the first.

    Args:
        networks: of one scale.
    """

    def __init__(self, *, networks: Sequence[SuperResolver]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.scale = networks[0].scale
        self.feature_info = networks[0].feature_info
        self.needs_boxes = any(network.needs_boxes for network in networks)

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        first, *others = self.networks
        sr, features = first.forward_features(lr, boxes)  # type: ignore[operator]
        faces = [sr, *(network(lr, boxes) for network in others)]
        return torch.stack(faces).mean(0), features
