"""Training with two targets: the HR face and the SR face of a teacher."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from faceskd.engine.adversarial import Adversarial
from faceskd.engine.base import Batch, inputs
from faceskd.losses import WeightedSum
from faceskd.models import SuperResolver
from faceskd.models.base import check_same_faces
from faceskd.models.ensemble import from_mirror
from faceskd.models.frozen import frozen


class SoftTargets(Adversarial):
    """`Adversarial` with a second target: the SR face of a teacher.

    Many HR faces fit one LR face, and the teacher's SR face is close to their mean. A student can
    match this mean, while it must guess the HR face. The mean lacks texture; the discriminator adds
    it. After the soft targets of Hinton et al., "Distilling the Knowledge in a Neural Network",
    2015.

    Args:
        teacher: teacher network; frozen, in eval mode, and not part of checkpoints.
        teacher_losses: loss terms on SR faces and the teacher's SR faces.
        mirrored: True: the target is the mean of two SR faces. The second one is computed from the
            mirrored LR face and mirrored back.

    Raises:
        ConfigError: the teacher is of another scale or size.
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
        check_same_faces(self.network, teacher)
        self.teacher = frozen(teacher)
        if mirrored:  # the mean over both is the same, in half the time
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
        """The SR faces of the teacher, (B, 3, H, W)."""
        given = inputs(self.teacher, batch)
        target = self.teacher(**given)
        if not self.mirrored:
            return target
        lr, boxes = given.pop("lr"), given.pop("boxes", None)
        rest = {name: faces.flip(-1) for name, faces in given.items()}
        restore = partial(self.teacher, **rest)
        return (target + from_mirror(restore, lr, boxes, scale=self.teacher.scale)) / 2
