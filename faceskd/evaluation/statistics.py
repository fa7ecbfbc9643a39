"""Paired comparison of two methods on the same faces: the difference and its uncertainty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control, wilcoxon

from faceskd.common.errors import ConfigError
from faceskd.evaluation.evaluate import bootstrap_interval


@dataclass(frozen=True)
class Paired:
    """The differences a - b of two methods over the same faces.

    Attributes:
        faces: number of faces.
        difference: mean difference.
        low, high: 95 % bootstrap interval of the mean difference.
        p_value: of the two-sided Wilcoxon signed-rank test, whose null hypothesis is that the
            differences are symmetric around zero; 1 if all differences are zero.
        relative: the mean difference divided by the mean of b.
    """

    faces: int
    difference: float
    low: float
    high: float
    p_value: float
    relative: float


def compare_paired(a: Mapping[str, float], b: Mapping[str, float]) -> Paired:
    """Compare two methods by one value per face.

    The bootstrap draws faces with the values of both methods, so that faces that are difficult for
    both do not widen the interval.

    Args:
        a, b: the two methods' values by face.

    Raises:
        ConfigError: the faces differ, or there are fewer than two.

    Examples:
        >>> compare_paired({"x": 3.0, "y": 5.0}, {"x": 2.0, "y": 4.0}).difference
        1.0
    """
    if set(a) != set(b):
        raise ConfigError(
            f"expected two methods on the same faces, got {len(a)} and {len(b)}, "
            f"of which {len(set(a) & set(b))} are the same"
        )
    first, second = (np.array([values[face] for face in a], np.float64) for values in (a, b))
    differences = first - second
    low, high = bootstrap_interval(differences.tolist())
    p_value = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    mean, base = float(differences.mean()), float(second.mean())
    return Paired(len(differences), mean, low, high, p_value, mean / base if base else 0.0)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for several tests, by the method of Benjamini and Hochberg.

    Among the adjusted values below 0.05, at most one in twenty is expected to be a false positive.

    Examples:
        >>> [round(p, 3) for p in adjusted([0.01, 0.04, 0.03])]
        [0.03, 0.04, 0.04]
    """
    return false_discovery_control(list(p_values)).tolist() if p_values else []
