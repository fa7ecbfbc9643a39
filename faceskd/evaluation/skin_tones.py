"""Evaluation by thirds of skin tone: does a method work worse for some people?

Faces are sorted by the typology angle of the HR face's skin (`faceskd.metrics.colour`) and split
into three groups of the same size. The groups depend on the faces: if all are light, the darkest
third is light, too. So the angles of each group are reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from faceskd.data.pairs import FacePairs
from faceskd.evaluation.evaluate import (
    HR,
    Evaluation,
    Method,
    bootstrap_interval,
    show_faces,
)
from faceskd.metrics.colour import SHIFT_NAMES, TYPOLOGY_ANGLE

THIRDS = ("darkest third", "middle third", "lightest third")
VISIBLE_SHIFT = 2.0
"""Smallest visible colour shift, in units of CIELAB."""
EXAMPLES = 2
QUALITY = ("psnr", "lpips", "identity")
"""Metrics that are compared between groups, by the start of their names; not `psnr_y`."""


@dataclass(frozen=True)
class Group:
    """Faces of similar skin tone.

    Attributes:
        name: one of `THIRDS`.
        faces: indices of the faces in the evaluation, from dark to light.
        angles: smallest and largest typology angle, degrees.
    """

    name: str
    faces: tuple[int, ...]
    angles: tuple[float, float]

    @property
    def examples(self) -> tuple[int, ...]:
        """Up to `EXAMPLES` faces, evenly spaced in the group."""
        count = min(EXAMPLES, len(self.faces))
        places = (np.arange(count) + 0.5) * len(self.faces) / count
        return tuple(self.faces[int(place)] for place in places)


@dataclass(frozen=True)
class Figure:
    """The mean of a metric over a group, and its 95 % interval (None for a single face)."""

    mean: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class SkinTones:
    """An evaluation by thirds of skin tone.

    Attributes:
        groups: from dark to light.
        figures: group -> method -> metric -> value.
        pictures: examples of the groups, in the form of `Evaluation.pictures`.
        said: sentences on visible colour shifts and on significant differences between groups.
    """

    groups: list[Group]
    figures: dict[str, dict[str, dict[str, Figure]]]
    pictures: dict[str, Tensor]
    said: list[str]

    @property
    def compared(self) -> bool:
        """Whether every group has enough faces for intervals, by which groups are compared."""
        return min(len(group.faces) for group in self.groups) > 1

    def labels(self, faces: list[str]) -> list[str]:
        """Labels of the rows of pictures; `faces` are the names of all faces."""
        return [f"{g.name}: {faces[index]}" for g in self.groups for index in g.examples]

    def rows(self) -> list[dict[str, str]]:
        """A table: one row for each method and group."""
        methods = list(next(iter(self.figures.values())))
        return [
            {"method": method, "skin tone": group.name, "faces": str(len(group.faces))}
            | {"ITA": f"{group.angles[0]:.0f}° to {group.angles[1]:.0f}°"}
            | {name: _cell(name, f) for name, f in self.figures[group.name][method].items()}
            for method in methods
            for group in self.groups
        ]

    def record(self) -> dict[str, Any]:
        """All results as plain values, for JSON."""
        return {
            group.name: {
                "angles": list(group.angles),
                "faces": len(group.faces),
                "methods": {
                    method: {
                        name: {"mean": figure.mean, "interval_95": figure.interval}
                        for name, figure in figures.items()
                    }
                    for method, figures in self.figures[group.name].items()
                },
            }
            for group in self.groups
        }


def compare_skin_tones(
    evaluation: Evaluation, methods: Mapping[str, Method], dataset: FacePairs
) -> SkinTones | None:
    """Split the results of an evaluation by skin tone.

    None for fewer than three faces, or if `ita` could not be measured.

    Args:
        evaluation: results that include `ita`.
        methods, dataset: what was evaluated; used for the pictures.
    """
    angles = evaluation.scores[HR].per_image.get(TYPOLOGY_ANGLE, [])
    if len(angles) < len(THIRDS):
        return None
    groups = group_by_skin_tone(angles)
    figures = {group.name: _group_figures(evaluation, group) for group in groups}
    taken = ("precision", "device", "privileged")
    options = {name: value for name, value in evaluation.settings.items() if name in taken}
    chosen = [index for group in groups for index in group.examples]
    pictures = show_faces(methods, dataset, chosen, **options)
    return SkinTones(groups, figures, pictures, _worth_saying(evaluation, figures))


def group_by_skin_tone(angles: list[float]) -> list[Group]:
    """Three groups of faces by their typology angles. Their sizes differ by at most one.

    Examples:
        >>> [group.faces for group in group_by_skin_tone([40.0, -10.0, 20.0])]
        [(1,), (2,), (0,)]
    """
    order = np.argsort(angles, kind="stable")
    return [
        Group(name, tuple(map(int, faces)), (angles[faces[0]], angles[faces[-1]]))
        for name, faces in zip(THIRDS, np.array_split(order, len(THIRDS)), strict=True)
    ]


def _group_figures(evaluation: Evaluation, group: Group) -> dict[str, dict[str, Figure]]:
    return {
        method: {
            name: _figure([values[index] for index in group.faces])
            for name, values in scores.per_image.items()
            if _is_quality(name) or name in SHIFT_NAMES
        }
        for method, scores in evaluation.scores.items()
        if method != HR
    }


def _figure(values: list[float]) -> Figure:
    interval = bootstrap_interval(values) if len(values) > 1 else None
    return Figure(float(np.mean(values)), interval)


def _is_quality(name: str) -> bool:
    return name.split("_")[0] in QUALITY and name != "psnr_y"


def _cell(name: str, figure: Figure) -> str:
    shape = "+.1f" if name in SHIFT_NAMES else ".2f" if name == "psnr" else ".3f"
    text = format(figure.mean, shape)
    if figure.interval is None:
        return text
    return f"{text} ({' to '.join(format(end, shape) for end in figure.interval)})"


def _worth_saying(
    evaluation: Evaluation, figures: dict[str, dict[str, dict[str, Figure]]]
) -> list[str]:
    sentences = []
    for method in evaluation.scores:
        for name in evaluation.metrics:
            thirds = {
                third: methods[method][name]
                for third, methods in figures.items()
                if name in methods.get(method, {})
            }
            if thirds and name in SHIFT_NAMES:
                sentences += _visible_shifts(method, name, thirds)
            elif thirds:
                sentences += _unequal(method, name, thirds, evaluation.better[name])
    return sentences


def _visible_shifts(method: str, name: str, thirds: dict[str, Figure]) -> list[str]:
    region, axis = name.split("_")
    visible = ", ".join(
        f"{figure.mean:+.1f} ({third})"
        for third, figure in thirds.items()
        if abs(figure.mean) >= VISIBLE_SHIFT
    )
    return [f"{method} shifts {axis}* of the {region} by {visible}"] if visible else []


def _unequal(method: str, name: str, thirds: dict[str, Figure], better: str) -> list[str]:
    """A sentence on the best and the worst third if their intervals do not overlap."""
    order = sorted(thirds, key=lambda third: thirds[third].mean)
    worst, best = (order[0], order[-1]) if better == "higher" else (order[-1], order[0])
    low, high = thirds[order[0]].interval, thirds[order[-1]].interval
    if low is None or high is None or low[1] >= high[0]:
        return []
    cells = (_cell(name, thirds[third]) for third in (worst, best))
    return [
        f"{method} is worse for the {worst} than for the {best}: {name} {' against '.join(cells)}"
    ]
