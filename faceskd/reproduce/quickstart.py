"""The quick start's report: one page from what its jobs wrote."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from faceskd.common.files import write_text
from faceskd.evaluation.evaluate import HR
from faceskd.jobs.report import jobs_section
from faceskd.jobs.runner import Outcome
from faceskd.reporting.tables import column_names, markdown_table, rich_table
from faceskd.reproduce.tables import direction

SHOWN = ("psnr", "ssim", "ms_ssim", "lpips_squeeze", "frechet_squeezenet", "grid_index")
SYNTHETIC = (
    "The faces are synthetic portraits, drawn by faceskd. Set FACESKD_FACES to a folder of photos "
    "to run on real ones. Figures on drawings say nothing about faces of people."
)
REAL = "The faces are the photos of the folder that FACESKD_FACES named."


def write_quickstart_report(
    out: Path | str, outcomes: Mapping[str, Outcome], *, synthetic: bool
) -> Path:
    """Write `<out>/report.md`; returns its path.

    Args:
        out: the folder of the plan.
        outcomes: of all its jobs.
        synthetic: whether the faces are drawn, which the report then says.
    """
    out = Path(out)
    quality = quality_rows(out)
    sheets = sorted((out / "dictionary.sheets").glob("relu3_4_*.png"))
    parts = [
        "# faceskd quick start",
        SYNTHETIC if synthetic else REAL,
        "## Quality",
        markdown_table(quality, **_marks(quality)),
        _unavailable(out),
        "All metrics, intervals and how they were measured: [evaluate](evaluate/report.md).",
        "![faces](evaluate/faces.png)",
        "![left eye](evaluate/left_eye.png)",
        "![mouth](evaluate/mouth.png)",
        "## Cost",
        markdown_table(_profile_rows(out)),
        "Details and the machine: [profile](profile/profile.md).",
        "## Training",
        *[f"![{name}]({name}/curves.png)" for name in ("teacher", "student")],
        "## Dictionary",
        "Each row is an atom: how many members it has, their mean, and the members nearest to it.",
        *[f"![{sheet.stem}](dictionary.sheets/{sheet.name})" for sheet in sheets],
        "## Jobs",
        jobs_section(outcomes.values()),
    ]
    write_text(out / "report.md", "\n\n".join(part for part in parts if part) + "\n")
    return out / "report.md"


def show_quickstart(out: Path | str, report: Path, console: Console) -> None:
    """Print the tables, and where the report and the restored faces are."""
    out = Path(out)
    quality = quality_rows(out)
    console.print(rich_table(quality, title="quality", transpose=True, **_marks(quality)))
    console.print(rich_table(_profile_rows(out), title="cost"))
    unavailable = _unavailable(out)
    if unavailable:
        console.print(unavailable, style="yellow", markup=False)
    console.print(f"report: {report}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"restored faces: {out / 'restored'}", markup=False, highlight=False)


def quality_rows(out: Path) -> list[dict[str, Any]]:
    """A row for each method, with the metrics that were measured."""
    measured = _read(out / "evaluate" / "metrics.json")["metrics"]
    names = {name for entry in measured.values() for name in entry["values"]}
    columns = [*SHOWN, *sorted(name for name in names if name.startswith("identity"))]
    return [
        {"method": method} | {c: entry["values"][c] for c in columns if c in entry["values"]}
        for method, entry in measured.items()
    ]


def _profile_rows(out: Path) -> list[dict[str, Any]]:
    rows = _read(out / "profile" / "profile.json")["rows"]
    return [
        {
            "model": row["name"],
            "GMACs": round(row["macs"] / 1e9, 2),
            "median, ms": row["latency_ms"],
            "x faster": row["ratio"],
        }
        for row in rows
    ]


def _marks(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a table needs to mark the best figures: see `faceskd.reporting.tables`."""
    return {
        "better": {name: direction(name) for name in column_names(rows) if name != "method"},
        "reference": next((row for row in rows if row["method"] == HR), None),
    }


def _unavailable(out: Path) -> str:
    missing = _read(out / "evaluate" / "metrics.json")["unavailable"]
    return "\n".join(f"Not measured: {name}: {why}" for name, why in missing.items())


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
