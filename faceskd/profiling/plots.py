"""Charts of a profile: bars of cost, and quality against latency with the Pareto front."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from faceskd.common.files import atomic_path
from faceskd.profiling.quality import direction, pareto_front
from faceskd.profiling.results import Profile, ProfileRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

TIME = "ms per face (line: to the 90th percentile)"
Point = tuple[float, float]
BLUE, ORANGE, GREY = "#4878a8", "#d1701f", "#808080"
DISTANCES = (7, 16, 28, 42, 58, 76)
DIRECTIONS = ((1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1), (0, 1), (0, -1))
"""Candidate positions of a name around its point, in typographic points, nearest first."""


def plot_cost(profile: Profile, path: Path | str) -> None:
    """Bars of the time per face, and of peak memory if it was measured."""
    rows = profile.rows[::-1]  # the first row on top
    names = [f"{row.name} x{row.batch_size}, {row.threads} thr." for row in rows]
    panels = {TIME: [row.latency_ms / row.batch_size for row in rows]}
    if any(row.peak_bytes for row in rows):
        panels["peak memory, MB"] = [(row.peak_bytes or 0) / 1e6 for row in rows]
    figure = _figure(width=5 * len(panels) + 2, height=1.2 + 0.35 * len(rows))
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (label, values) in zip(axes, panels.items(), strict=True):
        bars = axis.barh(names, values, color=BLUE)
        axis.bar_label(bars, fmt="%.3g", label_type="center", color="white")
        axis.set(xlabel=label, xscale="log")
        axis.margins(x=0.15, y=0.01)
    late = [max(row.latency_p90_ms - row.latency_ms, 0) / row.batch_size for row in rows]
    axes[0].errorbar(panels[TIME], names, xerr=[[0] * len(rows), late], fmt="none", ecolor="k")
    _save(figure, path)


def plot_quality(profile: Profile, path: Path | str) -> None:
    """Each quality metric against latency, with the Pareto front.

    Only rows with the smallest batch size and the most threads are shown.
    """
    batch = min(row.batch_size for row in profile.rows)
    threads = max(row.threads for row in profile.rows)
    rows = [row for row in profile.rows if (row.batch_size, row.threads) == (batch, threads)]
    shown = {
        metric: [row for row in rows if metric in row.quality]
        for metric in sorted({metric for row in rows for metric in row.quality})
    }
    figure = _figure(width=6.5 * len(shown), height=6.2)
    figure.suptitle(f"Quality against latency at batch {batch}, threads {threads}")
    panels = dict(zip(shown, figure.subplots(1, len(shown), squeeze=False)[0], strict=True))
    for metric, axis in panels.items():
        _scatter(axis, shown[metric], metric)
    figure.draw_without_rendering()  # positions are known only after drawing
    for metric, axis in panels.items():
        _name_points(axis, shown[metric], metric)
    _save(figure, path)


def _scatter(axis: "Axes", rows: Sequence[ProfileRow], metric: str) -> None:
    way = direction(metric)
    points = _points(rows, metric)
    front = _front(points, metric)
    axis.plot(*zip(*_steps(front), strict=True), color=ORANGE, label="Pareto front")
    axis.plot(*zip(*points, strict=True), "o", color=BLUE)
    axis.plot(*zip(*front, strict=True), "o", color=ORANGE)
    axis.set(xscale="log", xlabel="median latency, ms", ylabel=f"{metric}, {way} is better")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.grid(visible=True, which="both", alpha=0.25)
    axis.margins(x=0.2, y=0.15)
    axis.legend(loc="lower right" if way == "higher" else "upper right")


def _name_points(axis: "Axes", rows: Sequence[ProfileRow], metric: str) -> None:
    """Write names next to points, without overlaps where there is room."""
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    unit = axis.figure.dpi / 72  # pixels per typographic point
    points = _points(rows, metric)
    places = axis.transData.transform(points)
    corners = axis.transData.transform(_steps(_front(points, metric)))
    taken = [Bbox([place, place]).padded(4 * unit) for place in places]
    taken += [Bbox(line).padded(unit) for line in pairwise(corners)]
    taken += [legend.get_window_extent()] if (legend := axis.get_legend()) else []
    frame = axis.get_window_extent()
    for row, point, place in zip(rows, points, places, strict=True):
        line = {"arrowstyle": "-", "color": GREY, "lw": 0.6, "shrinkA": 0, "shrinkB": 2}
        note = axis.annotate(row.name, point, (0, 0), textcoords="offset points", fontsize=8,
                             arrowprops=line)  # fmt: skip
        note.set_in_layout(False)  # otherwise the axes would shrink and the points move
        spots = list(_spots(place, Text.get_window_extent(note), unit))
        free = [spot for spot in spots if _inside(spot, frame) and not spot.count_overlaps(taken)]
        spot = (free or spots)[0]
        note.set_position(((spot.x0 - place[0]) / unit, (spot.y0 - place[1]) / unit))
        taken.append(spot.padded(2 * unit))


def _spots(place: Sequence[float], size: "Bbox", unit: float) -> "Iterator[Bbox]":
    """Candidate boxes of a name around a point, in pixels."""
    from matplotlib.transforms import Bbox

    width, height = size.width, size.height
    for distance in DISTANCES:
        for right, up in DIRECTIONS:
            x = place[0] + right * (distance * unit + width / 2) - width / 2
            y = place[1] + up * (distance * unit + height / 2) - height / 2
            yield Bbox.from_bounds(x, y, width, height)


def _inside(box: "Bbox", frame: "Bbox") -> bool:
    return frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)


def _front(points: Sequence[Point], metric: str) -> list[Point]:
    return [points[index] for index in pareto_front(points, direction(metric) or "higher")]


def _steps(front: Sequence[Point]) -> list[Point]:
    """Points of the step line along the front."""
    corners = [(right[0], left[1]) for left, right in pairwise(front)]
    between = [point for pair in zip(front[:-1], corners, strict=True) for point in pair]
    return [*between, front[-1]]


def _points(rows: Sequence[ProfileRow], metric: str) -> list[Point]:
    return [(row.latency_ms, row.quality[metric]) for row in rows]


def _figure(*, width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    return figure


def _save(figure: "Figure", path: Path | str) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
