"""Distance between feature maps of student and teacher (second term of eq. 6, Jo et al. 2021)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.base import FeatureInfo


class FeatureDistillation(nn.Module):
    """sum_i mean (A_i(F_S_i) - N(F_T_i))^2 over the chosen feature maps of student and teacher.

    The adapter A_i is a 1x1 convolution from the student's to the teacher's channels. It is the
    identity if the channels are equal and `standardise` is off. Adapters are part of the loss: they
    are trained with the student and never exported.

    Args:
        student, teacher: channels and strides of their feature maps.
        levels: indices of the maps to distil: all four for MSKD, one for SSKD.
        standardise: if true, N normalises each channel of the teacher's maps to mean 0 and variance
            1 over the batch, so that large values do not dominate. In one of our teachers, the
            scales of the maps differed by a factor of 400. If false, N is the identity, as in the
            paper.

    Raises:
        ConfigError: no level, a level that does not exist, or maps with different strides.
    """

    def __init__(
        self,
        *,
        student: Sequence[FeatureInfo],
        teacher: Sequence[FeatureInfo],
        levels: Sequence[int] = (0, 1, 2, 3),
        standardise: bool = False,
    ) -> None:
        super().__init__()
        self.standardise = standardise
        count = min(len(student), len(teacher))
        self.levels = tuple(levels)
        if not self.levels or len(set(self.levels)) < len(self.levels):
            raise ConfigError(f"expected at least one level, each once, got {list(self.levels)}")
        self.adapters = nn.ModuleList()
        for level in self.levels:
            if not 0 <= level < count:
                raise ConfigError(f"expected levels from 0 to {count - 1}, got {level}")
            s, t = student[level], teacher[level]
            if s.stride != t.stride:
                raise ConfigError(
                    f"expected the same stride for feature map {level} of student and teacher, got "
                    f"{s.stride} and {t.stride}"
                )
            same = s.channels == t.channels and not standardise
            self.adapters.append(nn.Identity() if same else nn.Conv2d(s.channels, t.channels, 1))

    def adapt(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The student's chosen maps, converted to the teacher's channels."""
        return [
            adapter(features[level])
            for level, adapter in zip(self.levels, self.adapters, strict=True)
        ]

    def choose(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The teacher's chosen maps, standardised if `standardise` is on."""
        chosen = [features[level] for level in self.levels]
        return [_standardise(map) for map in chosen] if self.standardise else chosen

    def forward(self, adapted: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Outputs of `adapt` and `choose` -> scalar, in float32."""
        terms = [
            (s.float() - t.float()).square().mean() for s, t in zip(adapted, teacher, strict=True)
        ]
        return torch.stack(terms).sum()


def _standardise(features: Tensor) -> Tensor:
    return F.batch_norm(features.float(), None, None, training=True)
