"""Draw the curves of trainings from their CSV logs."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from faceskd.common.files import atomic_path

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

COLUMNS = 3
SMOOTHING = 0.9
VALIDATION = "val/"


def plot_curves(logs: Path | str, picture: Path | str) -> bool:
    """Draw every logged value against the training step.

    Training losses are drawn in a light colour, with their running mean on top.

    Args:
        logs: folder of the logs, as in `read_curves`.
        picture: PNG file to write.

    Returns:
        False if there is nothing to draw.
    """
    curves = read_curves(logs)
    if not curves:
        return False
    figure, axes = _axes(len(curves))
    for axis, (name, points) in zip(axes, curves.items(), strict=True):
        steps, values = zip(*points, strict=True)
        pale = len(values) > COLUMNS and name.startswith("train/")
        axis.plot(steps, values, color="#4878a8", alpha=0.35 if pale else 1, marker=".")
        if pale:
            axis.plot(steps, running_mean(values), color="#4878a8")
        axis.set(title=name, xlabel="step")
        axis.grid(alpha=0.3)
    _save(figure, picture)
    return True


def plot_validations(trainings: Mapping[str, Path], picture: Path | str) -> bool:
    """Draw the validations of several trainings together: one diagram for each metric.

    Args:
        trainings: name -> folder of its logs, as in `read_curves`.
        picture: PNG file to write.

    Returns:
        False if no metric was measured in more than one training.
    """
    metrics: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for training, logs in trainings.items():
        for name, points in read_curves(logs).items():
            if name.startswith(VALIDATION):
                metrics.setdefault(name, {})[training] = points
    shared = {name: lines for name, lines in metrics.items() if len(lines) > 1}
    if not shared:
        return False
    figure, axes = _axes(len(shared))
    for axis, (name, lines) in zip(axes, shared.items(), strict=True):
        for training, points in lines.items():
            axis.plot(*zip(*points, strict=True), marker=".", label=training)
        axis.set(title=name, xlabel="step")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize="small")
    _save(figure, picture)
    return True


def _axes(count: int) -> "tuple[Figure, np.ndarray]":
    """A figure with so many diagrams; what is left of the last row stays empty."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.2 * columns, 2.8 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.axis("off")
    return figure, axes[:count]


def _save(figure: "Figure", picture: Path | str) -> None:
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=100)


def read_curves(logs: Path | str) -> dict[str, list[tuple[int, float]]]:
    """Logged values by name, each a list of (step, value), from `<logs>/version_<n>/metrics.csv`.

    An interrupted training has one version for each run. If two versions have the same step, the
    later version is used.
    """
    curves: dict[str, dict[int, float]] = {}
    versions = Path(logs).glob("version_*/metrics.csv")
    for log in sorted(versions, key=lambda path: int(path.parent.name.split("_")[1])):
        with log.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    if value and name not in ("step", "epoch"):
                        curves.setdefault(name, {})[int(row["step"])] = float(value)
    return {name: sorted(points.items()) for name, points in sorted(curves.items(), reverse=True)}


def running_mean(values: tuple[float, ...]) -> list[float]:
    """Exponential running mean."""
    means, mean = [], values[0]
    for value in values:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        means.append(mean)
    return means
