"""Paired comparison of two methods on the same faces: the difference and its uncertainty.

A method may have been trained several times, with other seeds. Then the uncertainty is that over
faces and trainings together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control, wilcoxon

from faceskd.common.errors import ConfigError
from faceskd.evaluation.evaluate import bootstrap_interval

Trainings = Mapping[str, float] | Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Paired:
    """The differences a - b of two methods over the same faces.

    Attributes:
        faces: number of faces.
        difference: mean difference.
        low, high: 95 % bootstrap interval of the mean difference.
        p_value: of the two-sided Wilcoxon signed-rank test over faces, whose null hypothesis is
            that the differences are symmetric around zero; 1 if all differences are zero. Trainings
            with other seeds are averaged first: it says nothing of their spread.
        relative: the mean difference divided by the mean of b.
        trainings: of a and of b.
    """

    faces: int
    difference: float
    low: float
    high: float
    p_value: float
    relative: float
    trainings: tuple[int, int] = (1, 1)


def compare_paired(a: Trainings, b: Trainings) -> Paired:
    """Compare two methods by one value per face.

    The bootstrap draws faces with the values of both methods, so that faces that are difficult for
    both do not widen the interval. Where a method has several trainings, it draws from them, too.

    Args:
        a, b: the two methods' values by face; a list of such mappings for several trainings.

    Raises:
        ConfigError: the faces differ, or there are fewer than two.

    Examples:
        >>> compare_paired({"x": 3.0, "y": 5.0}, {"x": 2.0, "y": 4.0}).difference
        1.0
        >>> compare_paired([{"x": 3.0, "y": 5.0}, {"x": 5.0, "y": 7.0}], {"x": 2.0, "y": 4.0}).high
        3.0
    """
    first, second = (_table(values) for values in (a, b))
    faces = list(first[0])
    for values in (*first, *second):
        if set(values) != set(faces):
            raise ConfigError(
                f"expected two methods on the same faces, got {len(faces)} and {len(values)}, "
                f"of which {len(set(faces) & set(values))} are the same"
            )
    x, y = (np.array([[v[face] for face in faces] for v in runs]) for runs in (first, second))
    differences = x.mean(axis=0) - y.mean(axis=0)
    if len(x) == len(y) == 1:
        low, high = bootstrap_interval(differences.tolist())
    else:
        low, high = _nested_interval(x, y)
    p_value = float(wilcoxon(differences).pvalue) if differences.any() else 1.0
    mean, base = float(differences.mean()), float(y.mean())
    relative = mean / base if base else 0.0
    return Paired(len(faces), mean, low, high, p_value, relative, (len(x), len(y)))


def _table(values: Trainings) -> Sequence[Mapping[str, float]]:
    return [values] if isinstance(values, Mapping) else values


def _nested_interval(x: np.ndarray, y: np.ndarray, resamples: int = 2000) -> tuple[float, float]:
    """95 % interval of mean x - mean y, (trainings, faces); draws trainings and faces."""
    if x.shape[1] < 2:
        raise ConfigError(f"expected at least 2 values for an interval, got {x.shape[1]}")
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(resamples):
        faces = rng.integers(x.shape[1], size=x.shape[1])
        a, b = (v[rng.integers(len(v), size=len(v))][:, faces].mean() for v in (x, y))
        drawn.append(a - b)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for several tests, by the method of Benjamini and Hochberg.

    Among the adjusted values below 0.05, at most one in twenty is expected to be a false positive.

    Examples:
        >>> [round(p, 3) for p in adjusted([0.01, 0.04, 0.03])]
        [0.03, 0.04, 0.04]
    """
    return false_discovery_control(list(p_values)).tolist() if p_values else []
