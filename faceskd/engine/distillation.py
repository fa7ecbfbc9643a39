"""Adversarial distillation of multi-scale features, from the teacher to the student.

Jo, Park, Hong, JBE 26(5), 2021, eq. 3 to 7:

    L_S = 100 L_recon + 20 L_vgg + L_kd
    L_kd = sum_i E[(D_i(F_S_i) - 1)^2] + E[(F_S_i - F_T_i)^2]
    L_D  = sum_i E[(D_i(F_T_i) - 1)^2] + E[D_i(F_S_i)^2]
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from faceskd.common.checks import check_not_negative
from faceskd.common.errors import ConfigError
from faceskd.engine.base import Batch, Engine, inputs
from faceskd.losses.adversarial import AdversarialLoss
from faceskd.losses.distillation import FeatureDistillation
from faceskd.models import Ensemble, FeatureDiscriminators, SuperResolver
from faceskd.models.base import check_same_faces
from faceskd.models.frozen import frozen


class Distillation(Engine):
    """Trains a student to match the features that its teacher computes for the same faces.

    Args:
        teacher: teacher network; frozen, in eval mode, and not part of checkpoints.
        levels: indices of the feature maps that are distilled; (0, 1, 2, 3) is MSKD, a single one
            is SSKD.
        standardise: see `FeatureDistillation`.
        adversarial: adversarial loss; LSGAN in the paper.
        discriminator_width, discriminator_layers: size of each discriminator D_i.
        feature_weight: weight of the squared distance between features; 1 in the paper.
        adversarial_weight: weight of the adversarial term; 1 in the paper, 0 leaves it out.
        adversarial_start: number of steps before the adversarial term starts.
        output_weight: weight of a second image loss, between the student's and the teacher's SR
            faces. The LR face does not determine the HR face, so the teacher's face is easier to
            match. Not in the paper (0). `SoftTargets` has this loss without features.

    Raises:
        ConfigError: the teacher is of another scale or size, a weight is below 0, or there are
            several teachers and their faces are not used.
    """

    def __init__(
        self,
        *,
        teacher: SuperResolver,
        adversarial: AdversarialLoss,
        levels: Sequence[int] = (0, 1, 2, 3),
        standardise: bool = False,
        discriminator_width: int = 32,
        discriminator_layers: int = 2,
        feature_weight: float = 1.0,
        adversarial_weight: float = 1.0,
        adversarial_start: int = 0,
        output_weight: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_same_faces(self.network, teacher)
        check_not_negative(
            **{
                "engine.feature_weight": feature_weight,
                "engine.adversarial_weight": adversarial_weight,
                "engine.output_weight": output_weight,
            }
        )
        if output_weight == 0:  # the feature maps are those of one pass of one network
            if isinstance(teacher, Ensemble) and len(teacher.networks) > 1:
                raise ConfigError(
                    f"expected one teacher, got {len(teacher.networks)}: with "
                    "engine.output_weight=0 only the feature maps of the first are used; give one, "
                    "or a weight above 0"
                )
            teacher.stop_mirroring()
        self.teacher = frozen(teacher)
        self.distillation = FeatureDistillation(
            student=self.network.feature_info,
            teacher=teacher.feature_info,
            levels=levels,
            standardise=standardise,
        )
        if adversarial_weight > 0:
            self.discriminator = FeatureDiscriminators(
                channels=[teacher.feature_info[level].channels for level in levels],
                width=discriminator_width,
                layers=discriminator_layers,
            )
        self.adversarial = adversarial
        self.feature_weight = feature_weight
        self.adversarial_weight = adversarial_weight
        self.adversarial_start = adversarial_start
        self.output_weight = output_weight

    def generator_parameters(self) -> list[torch.nn.Parameter]:
        return [*super().generator_parameters(), *self.distillation.parameters()]

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Any]:
        sr, features = self.network.forward_features(**inputs(self.network, batch))
        with torch.no_grad():
            teacher_sr, teacher_features = self.teacher.forward_features(
                **inputs(self.teacher, batch)
            )
        student = self.distillation.adapt(features)
        teacher = self.distillation.choose(teacher_features)
        total, parts = self.image_losses(sr, batch)
        parts["feature"] = self.distillation(student, teacher)
        total = total + self.feature_weight * parts["feature"]
        if self.output_weight > 0:
            parts["output"], _ = self.losses(sr, teacher_sr)
            total = total + self.output_weight * parts["output"]
        if self.uses_discriminator():
            assert self.discriminator is not None
            parts["adversarial"] = self.adversarial.generator(self.discriminator(student))
            total = total + self.adversarial_weight * parts["adversarial"]
        return total, parts, (teacher, [feature.detach() for feature in student])

    def discriminator_loss(self, kept: Any) -> Tensor:
        teacher, student = kept
        assert self.discriminator is not None
        return self.adversarial.discriminator(
            self.discriminator(teacher), self.discriminator(student)
        )
