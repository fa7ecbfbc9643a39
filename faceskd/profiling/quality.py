"""Add the quality that `faceskd evaluate` measured to a profile, by name."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from faceskd.common.direction import Direction
from faceskd.common.errors import ConfigError
from faceskd.profiling.results import Profile, ProfileRow

Quality = Mapping[str, Mapping[str, float]]
"""Method -> metric -> value."""


def direction(metric: str) -> Direction | None:
    """Which values of a metric are better; None for a metric that profiles do not show."""
    if metric == "psnr":
        return "higher"
    return "lower" if metric.startswith("lpips") else None


def read_quality(paths: Sequence[Path | str]) -> Quality:
    """Read PSNR and LPIPS of all methods from `metrics.json` files of `faceskd evaluate`.

    Raises:
        ConfigError: a file is missing or has another format, or two files give different values for
            a method, because they were measured on different faces.
    """
    found: dict[str, dict[str, float]] = {}
    for path in map(Path, paths):
        for method, figures in _read(path).items():
            values = {name: value for name, value in figures.items() if direction(name)}
            for name, value in found.get(method, {}).items():
                if name in values and not math.isclose(value, values[name], rel_tol=1e-3):
                    raise ConfigError(
                        f"expected evaluations on the same faces, but {name} of {method} is "
                        f"{values[name]:.4f} in {str(path)!r} and {value:.4f} elsewhere"
                    )
            found.setdefault(method, {}).update(values)
    return found


def with_quality(profile: Profile, quality: Quality) -> Profile:
    """Add quality to the rows: that of the form (`lite_m@int8`) if given, else of the model."""
    rows = [replace(row, quality=_figures(row, quality)) for row in profile.rows]
    return replace(profile, rows=rows)


def pareto_front(points: Sequence[tuple[float, float]], better: Direction) -> list[int]:
    """Indices of the points (cost, quality) that no other point beats in both, by cost.

    Examples:
        >>> pareto_front([(1, 20.0), (2, 19.0), (3, 25.0)], "higher")
        [0, 2]
    """
    sign = 1 if better == "higher" else -1
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][0], -sign * points[i][1])):
        if not front or sign * points[index][1] > sign * points[front[-1]][1]:
            front.append(index)
    return front


def _figures(row: ProfileRow, quality: Quality) -> dict[str, float]:
    return dict(quality.get(row.name) or quality.get(row.model) or {})


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(
            f"expected a metrics.json of `faceskd evaluate` at {str(path)!r}, found none"
        )
    try:
        methods = json.loads(path.read_text(encoding="utf-8"))["metrics"]
        return {method: dict(content["values"]) for method, content in methods.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"expected a metrics.json of `faceskd evaluate` in {str(path)!r}, got something else"
        ) from error
