"""A profile as a table, Markdown, CSV, JSON and a picture."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from faceskd.files import atomic_path, make_folder, write_text
from faceskd.profile import Profile, ProfileRow
from faceskd.tables import markdown_table, rich_table, write_csv

NOTES = """Median and 90th percentile of {repeats} turns; the models take turns, so compare within
this table only. MACs of one face: convolutions and matrix products alone. Memory: the network and
its activations at their peak, in a process of its own, over the same process without a network.
`x faster` is against `{reference}` at the same batch size. `of ceiling` is 2 MACs a second over
the best operation of this machine in the same number format, below. A model with `+mtcnn` includes
the detection of its landmarks."""

TIME = "ms a face (line: to the 90th percentile)"


def profile_table(profile: Profile) -> Table:
    """For the screen: what fits a terminal; the report has the rest."""
    columns = ("model", "batch", "GMACs", "median, ms", "faces/s", "x faster", "peak, MB")
    rows = [{name: row[name] for name in columns} for row in _cells(profile.rows)]
    return rich_table(rows, title="profile")


def profile_markdown(profile: Profile) -> str:
    """The report."""
    notes = NOTES.format(**profile.settings).replace("\n", " ")
    tops = [
        {"form": form, "operation": name, "GFLOP/s": round(flops / 1e9, 1)}
        for form, table in profile.ceilings.items()
        for name, flops in table.items()
    ]
    machine = [{"machine": key, "value": str(value)} for key, value in profile.machine.items()]
    parts = ["# Profile", markdown_table(_cells(profile.rows)), notes]
    if tops:
        parts += ["## Ceiling of the machine", markdown_table(tops)]
    return "\n\n".join([*parts, "## Machine", markdown_table(machine)]) + "\n"


def write_profile(profile: Profile, out: Path | str) -> None:
    """Write profile.md, .csv, .json and .png into a folder."""
    out = make_folder(out)
    write_text(out / "profile.md", profile_markdown(profile))
    write_csv(out / "profile.csv", [asdict(row) for row in profile.rows])
    write_text(out / "profile.json", json.dumps(asdict(profile), indent=2) + "\n")
    plot_profile(profile, out / "profile.png")


def plot_profile(profile: Profile, path: Path | str) -> None:
    """Bars of the time of a face, and of peak memory where it was measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = profile.rows[::-1]  # the first row on top
    names = [f"{row.name} x{row.batch_size}" for row in rows]
    panels = {TIME: [row.latency_ms / row.batch_size for row in rows]}
    if all(row.peak_bytes is not None for row in rows):
        panels["peak memory, MB"] = [(row.peak_bytes or 0) / 1e6 for row in rows]
    figure = Figure(figsize=(5 * len(panels) + 2, 1.2 + 0.35 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (label, values) in zip(axes, panels.items(), strict=True):
        bars = axis.barh(names, values, color="#4878a8")
        axis.bar_label(bars, fmt="%.3g", label_type="center", color="white")
        axis.set(xlabel=label, xscale="log")
        axis.margins(x=0.15)
    late = [max(row.latency_p90_ms - row.latency_ms, 0) / row.batch_size for row in rows]
    axes[0].errorbar(panels[TIME], names, xerr=[[0] * len(rows), late], fmt="none", ecolor="k")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _cells(rows: list[ProfileRow]) -> list[dict[str, Any]]:
    return [
        {
            "model": row.name,
            "batch": row.batch_size,
            "parameters, M": round(row.parameters / 1e6, 3),
            "GMACs": round(row.macs / 1e9, 3),
            "median, ms": row.latency_ms,
            "p90, ms": row.latency_p90_ms,
            "faces/s": row.faces_per_second,
            "x faster": row.ratio,
            "of ceiling": row.ceiling_fraction,
            "weights, MB": _megabytes(row.weights_bytes),
            "peak, MB": _megabytes(row.peak_bytes),
            "dictionary, MB": _megabytes(row.dictionary_bytes),
        }
        for row in rows
    ]


def _megabytes(count: int | None) -> float | None:
    return None if count is None else round(count / 1e6, 1)
