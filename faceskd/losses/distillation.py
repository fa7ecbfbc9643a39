"""Distance between feature maps of student and teacher (eq. 6 of Jo et al. 2021, second term)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.base import FeatureInfo


class FeatureDistillation(nn.Module):
    """sum_i mean (A_i(F_S_i) - N(F_T_i))^2 over the chosen feature maps.

    Where the widths differ, or N changes the scale, A_i is a 1x1 convolution from the student's to
    the teacher's channels. It lives here, is trained with the student, and is never exported.

    Args:
        student, teacher: what is known of their feature maps.
        levels: indices of the maps to distil: all four (MSKD), one (SSKD).
        standardise: N brings each channel of the teacher's maps to mean 0 and variance 1 over the
            batch, so that no map or channel counts more for being large; without, N is the
            identity, as the paper prints it. Nothing limits a map's scale: those of a teacher of
            ours differed by a factor of 400.

    Raises:
        ConfigError: no level, one that does not exist, or maps of different resolution.
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
            raise ConfigError(f"expected levels, each once, got {list(self.levels)}")
        self.adapters = nn.ModuleList()
        for level in self.levels:
            if not 0 <= level < count:
                raise ConfigError(f"expected levels within 0 to {count - 1}, got {level}")
            s, t = student[level], teacher[level]
            if s.stride != t.stride:
                raise ConfigError(
                    f"feature map {level} of the student has stride {s.stride}, the teacher's "
                    f"{t.stride}: expected the same"
                )
            same = s.channels == t.channels and not standardise
            self.adapters.append(nn.Identity() if same else nn.Conv2d(s.channels, t.channels, 1))

    def adapt(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The student's chosen maps with the teacher's channels."""
        return [
            adapter(features[level])
            for level, adapter in zip(self.levels, self.adapters, strict=True)
        ]

    def choose(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The teacher's chosen maps, standardised if so asked."""
        chosen = [features[level] for level in self.levels]
        return [_standardise(map) for map in chosen] if self.standardise else chosen

    def forward(self, adapted: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """From what `adapt` and `choose` returned to a scalar, in float32."""
        terms = [
            (s.float() - t.float()).square().mean() for s, t in zip(adapted, teacher, strict=True)
        ]
        return torch.stack(terms).sum()


def _standardise(features: Tensor) -> Tensor:
    return F.batch_norm(features.float(), None, None, training=True)
