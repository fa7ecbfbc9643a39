"""Write a profile as a table, Markdown, CSV, JSON and charts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from faceskd.common.direction import Direction
from faceskd.common.files import make_folder, write_text
from faceskd.profiling.ceilings import Ceiling
from faceskd.profiling.plots import plot_cost, plot_quality
from faceskd.profiling.quality import direction
from faceskd.profiling.results import Profile, ProfileRow
from faceskd.reporting.tables import column_names, markdown_table, rich_table, write_csv

NOTES = """Times are medians and 90th percentiles of {repeats} runs. The models run in turn, so only
values within this table can be compared. Every form takes fp32 LR faces and returns fp32 SR faces.
`x faster` compares with `{reference}` at the same batch size and number of threads. `of ceiling` is
the model's FLOP/s (2 x MACs per second) divided by the FLOP/s of this machine's best operation in
the same precision and with the same threads; `of best conv` divides by the best convolution. Both
are listed below. MACs are per face and count convolutions and matrix products only. A model with
`+mtcnn` includes the detection of landmarks."""

FILES_NOTE = """`file to file` also reads each LR face from a PNG file and writes each SR face to a
PNG file, one after another in one process. `faceskd restore` does these steps in parallel."""

MEMORY_NOTE = """Memory is the peak of the network and its activations with the most threads: the
median of fresh processes, minus the memory of these processes without the network."""

QUALITY_NOTE = """PSNR and LPIPS are from `faceskd evaluate`, for this form of the network if it was
evaluated, otherwise for the network itself."""

SCREEN = {"model": "model", "batch": "batch", "threads": "threads", "median, ms": "ms",
          "x faster": "faster", "file to file, ms": "files, ms", "peak, MB": "MB",
          "of ceiling": "ceiling", "faces/s": "faces/s"}  # fmt: skip
"""Columns for the screen, most important first, and their short names."""
SCREEN_COLUMNS = 6


def profile_table(profile: Profile) -> Table:
    """Table for the screen, with the columns that fit a terminal. The report has all columns."""
    cells = _cells(profile.rows)
    same = [name for name in ("batch", "threads") if len({row[name] for row in cells}) == 1]
    names = [name for name in SCREEN if name in column_names(cells) and name not in same]
    rows = [{name: _short(row[name]) for name in names[:SCREEN_COLUMNS]} for row in cells]
    title = ", ".join(["profile", *(f"{name} {cells[0][name]}" for name in same)])
    return rich_table(rows, title=title, headers=SCREEN)


def left_out_lines(profile: Profile) -> list[str]:
    """What was not measured and why: one line for each reason."""
    names: dict[str, list[str]] = {}
    for name, why in profile.left_out.items():
        names.setdefault(why, []).append(name)
    return [f"{', '.join(those)}: {why}" for why, those in names.items()]


def profile_markdown(profile: Profile) -> str:
    """The report in Markdown."""
    cells = _cells(profile.rows)
    shown = {name for row in cells for name in row}
    notes = [NOTES.format(**profile.settings)]
    notes += [FILES_NOTE] if "file to file, ms" in shown else []
    notes += [MEMORY_NOTE] if "peak, MB" in shown else []
    better = _better(profile)
    notes += [QUALITY_NOTE] if better else []
    parts = ["# Profile", markdown_table(cells, better=better)]
    parts += [note.replace("\n", " ") for note in notes]
    if profile.left_out:
        parts += ["## Left out", "\n".join(f"- {line}" for line in left_out_lines(profile))]
    if profile.ceilings:
        parts += ["## Ceiling of the machine", markdown_table(_ceiling_rows(profile))]
    about = {**profile.machine, **profile.settings}
    rows = [{"what": key, "value": str(value)} for key, value in about.items()]
    return "\n\n".join([*parts, "## Machine and settings", markdown_table(rows)]) + "\n"


def write_profile(profile: Profile, out: Path | str) -> None:
    """Write profile.md, .csv, .json and .png into a folder, and quality.png if there is quality."""
    out = make_folder(out)
    write_text(out / "profile.md", profile_markdown(profile))
    records = [asdict(row) for row in profile.rows]
    write_csv(out / "profile.csv", [record | record.pop("quality") for record in records])
    write_text(out / "profile.json", json.dumps(asdict(profile), indent=2) + "\n")
    plot_cost(profile, out / "profile.png")
    if _better(profile):
        plot_quality(profile, out / "quality.png")


def _cells(rows: Sequence[ProfileRow]) -> list[dict[str, Any]]:
    """Rows of the table, without columns that have no value."""
    cells = [
        {
            "model": row.name,
            "batch": row.batch_size,
            "threads": row.threads,
            "parameters, M": _scaled(row.parameters, 1e6, 3),
            "GMACs": _scaled(row.macs, 1e9, 3),
            "median, ms": row.latency_ms,
            "p90, ms": row.latency_p90_ms,
            "faces/s": row.faces_per_second,
            "x faster": row.ratio,
            "of ceiling": row.ceiling_fraction,
            "of best conv": row.convolution_fraction,
            "file to file, ms": row.file_to_file_ms,
            "file to file p90, ms": row.file_to_file_p90_ms,
            "weights, MB": _scaled(row.weights_bytes, 1e6, 1),
            "peak, MB": _scaled(row.peak_bytes, 1e6, 1),
            "peak over bicubic, MB": _scaled(row.peak_over_bicubic_bytes, 1e6, 1),
            "dictionary, MB": _scaled(row.dictionary_bytes, 1e6, 1),
            **row.quality,
        }
        for row in rows
    ]
    empty = {name for name in column_names(cells) if all(row.get(name) is None for row in cells)}
    return _without(cells, empty)


def _ceiling_rows(profile: Profile) -> list[dict[str, Any]]:
    """The best matrix product and the best convolution for each precision and thread count."""
    tops: dict[tuple[str, int, bool], Ceiling] = {}
    for ceiling in profile.ceilings:
        key = (ceiling.precision, ceiling.threads, ceiling.is_convolution)
        if key not in tops or ceiling.flops_per_second > tops[key].flops_per_second:
            tops[key] = ceiling
    return [
        {
            "precision": top.precision,
            "threads": top.threads,
            "best operation": top.operation,
            "GFLOP/s": round(top.flops_per_second / 1e9, 1),
        }
        for top in tops.values()
    ]


def _better(profile: Profile) -> dict[str, Direction]:
    metrics = dict.fromkeys(name for row in profile.rows for name in row.quality)
    return {name: way for name in metrics if (way := direction(name))}


def _without(rows: Sequence[Mapping[str, Any]], names: set[str]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in names} for row in rows]


def _short(value: Any) -> Any:
    """A number with three digits, aligned to the right."""
    if not isinstance(value, float):
        return value
    return f"{value:.0f}".rjust(6) if value >= 100 else f"{value:.3g}".rjust(6)


def _scaled(count: int | None, unit: float, decimals: int) -> float | None:
    return None if count is None else round(count / unit, decimals)
