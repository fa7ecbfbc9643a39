"""Draw the curves of a training from its CSV logs."""

import csv
from pathlib import Path

from faceskd.common.files import atomic_path

COLUMNS = 3
SMOOTHING = 0.9


def plot_curves(logs: Path | str, picture: Path | str) -> bool:
    """Draw every logged value against the training step.

    Training losses are drawn in a light colour, with their running mean on top.

    Args:
        logs: folder of the logs, as in `read_curves`.
        picture: PNG file to write.

    Returns:
        False if there is nothing to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = read_curves(logs)
    if not curves:
        return False
    rows = -(-len(curves) // COLUMNS)
    figure = Figure(figsize=(4.2 * COLUMNS, 2.8 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis, (name, points) in zip(axes, curves.items(), strict=False):
        steps, values = zip(*points, strict=True)
        pale = len(values) > COLUMNS and name.startswith("train/")
        axis.plot(steps, values, color="#4878a8", alpha=0.35 if pale else 1, marker=".")
        if pale:
            axis.plot(steps, running_mean(values), color="#4878a8")
        axis.set(title=name, xlabel="step")
        axis.grid(alpha=0.3)
    for axis in axes[len(curves) :]:
        axis.axis("off")
    with atomic_path(picture) as temporary:
        figure.savefig(temporary, dpi=100)
    return True


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
