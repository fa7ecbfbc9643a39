"""Training on a teacher's faces beside the real ones."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from faceskd.engine.adversarial import Adversarial
from faceskd.engine.base import Batch, inputs
from faceskd.losses import WeightedSum
from faceskd.models import SuperResolver
from faceskd.models.ensemble import from_mirror
from faceskd.models.frozen import frozen


class SoftTargets(Adversarial):
    """`Adversarial`, with a second target: the teacher's SR face.

    What 32x32 pixels leave open, a teacher has averaged over: its face can be met where the HR face
    has to be guessed. The texture that averages lack is left to the adversary. After the soft
    targets of Hinton et al., "Distilling the Knowledge in a Neural Network", 2015.

    Args:
        teacher: frozen; in eval mode throughout, and not part of checkpoints.
        teacher_losses: terms on SR faces and the teacher's.
        mirrored: whether the teacher's face is the mean of two, the second made of the mirrored LR
            face and mirrored back.
    """

    def __init__(
        self,
        *,
        teacher: SuperResolver,
        teacher_losses: WeightedSum,
        mirrored: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.teacher = frozen(teacher)
        if mirrored:  # the mean of two is the same at half the time
            teacher.stop_mirroring()
        self.teacher_losses = frozen(teacher_losses)
        self.mirrored = mirrored

    def image_losses(self, sr: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        total, parts = super().image_losses(sr, batch)
        soft, soft_parts = self.teacher_losses(sr, self.target(batch))
        parts |= {f"teacher_{name}": part for name, part in soft_parts.items()}
        return total + soft, parts

    @torch.no_grad()
    def target(self, batch: Batch) -> Tensor:
        """The teacher's SR faces, (B, 3, H, W)."""
        given = inputs(self.teacher, batch)
        target = self.teacher(**given)
        if not self.mirrored:
            return target
        lr, boxes = given.pop("lr"), given.pop("boxes")
        rest = {name: faces.flip(-1) for name, faces in given.items()}
        restore = partial(self.teacher, **rest)
        return (target + from_mirror(restore, lr, boxes, scale=self.teacher.scale)) / 2
