"""Averages of several SR faces: from several networks, or from a face and its mirror image."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.faces.components import mirror_boxes
from faceskd.models.base import SuperResolver, check_same_faces


def from_mirror(
    forward: Callable[..., Tensor], lr: Tensor, boxes: Tensor | None, *, scale: int
) -> Tensor:
    """Mirror the LR faces, apply `forward`, and mirror the SR faces (B, 3, H, W) back."""
    mirrored = None if boxes is None else mirror_boxes(boxes, scale * lr.shape[-1])
    return forward(lr.flip(-1), mirrored).flip(-1)


class Ensemble(SuperResolver):
    """The mean of the SR faces of several networks, used as a teacher.

    Details on which the networks disagree are often wrong, and averaging weakens them. So the mean
    is a better target for a student than one network (Hinton et al., "Distilling the Knowledge in a
    Neural Network", 2015, section 3). The feature maps are those of the first network. HR faces, if
    given, are passed on to the privileged networks.

    Args:
        networks: networks of the same scale and size, at least one.

    Raises:
        ConfigError: they differ in scale or size, or there is none.
    """

    def __init__(self, *, networks: Sequence[SuperResolver]) -> None:
        super().__init__()
        if not networks:
            raise ConfigError("expected at least one network in an ensemble, got none")
        for network in networks[1:]:
            check_same_faces(networks[0], network)
        self.networks = nn.ModuleList(networks)
        self.scale, self.size = networks[0].scale, networks[0].size
        self.feature_info = networks[0].feature_info
        self.needs_boxes = any(network.needs_boxes for network in networks)
        self.privileged = any(network.privileged for network in networks)

    def stop_mirroring(self) -> None:
        for network in self.networks:
            network.stop_mirroring()  # type: ignore[operator]

    def forward(self, lr: Tensor, boxes: Tensor | None = None, hr: Tensor | None = None) -> Tensor:
        return self.forward_features(lr, boxes, hr)[0]

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None, hr: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        passes = []
        for network in self.networks:
            privilege = {"hr": hr} if network.privileged else {}
            passes.append(network.forward_features(lr, boxes, **privilege))  # type: ignore[operator]
        return torch.stack([sr for sr, _ in passes]).mean(0), passes[0][1]
