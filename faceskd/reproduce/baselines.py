"""After how many faces a baseline is better than bicubic enlargement."""

import json
from pathlib import Path
from typing import Any

from faceskd.evaluation.evaluate import BICUBIC
from faceskd.jobs.plan import Options
from faceskd.jobs.runner import Runner
from faceskd.reporting.curves import read_curves
from faceskd.reporting.tables import markdown_table
from faceskd.reproduce.rates import choice

ENOUGH = 2
"""A fair budget has at least so many times the faces that the slowest baseline needs."""


def least_faces(folder: Path, bicubic: float, batch_size: int) -> int | None:
    """Faces that a training had seen at the first validation with a higher PSNR than bicubic.

    Args:
        folder: of the training; its logs have the PSNR of each validation.
        bicubic: PSNR of bicubic enlargement on the same faces, dB.
        batch_size: faces of a step.

    Returns:
        None if no validation had.
    """
    points = read_curves(folder / "csv").get("val/psnr", [])
    return next(((step + 1) * batch_size for step, psnr in points if psnr > bicubic), None)


def least_faces_section(options: Options, runner: Runner) -> list[str]:
    """Markdown: whether the budget is large enough for every baseline; [] without baselines."""
    batch_size, rows = options["budget"]["batch_size"], []
    for method in options["baselines"]:
        measured = runner.out / choice(method) / "metrics.json"
        if method in runner.outcomes and measured.is_file():
            record = json.loads(measured.read_text(encoding="utf-8"))
            bicubic = record["metrics"][BICUBIC]["values"]["psnr"]
            rows.append(
                {"baseline": method, "faces": least_faces(runner.out / method, bicubic, batch_size)}
            )
    if not rows:
        return []
    return [
        "## Are there enough faces?",
        f"Faces after which each baseline was better than bicubic enlargement in PSNR, on the "
        f"validation faces. {_verdict(rows, options['budget']['steps'] * batch_size)}",
        markdown_table(rows),
    ]


def _verdict(rows: list[dict[str, Any]], trained: int) -> str:
    slow = [row["baseline"] for row in rows if row["faces"] is None]
    if slow:
        return f"With {trained} faces, {', '.join(slow)} never was: the budget is too small."
    most = max(row["faces"] for row in rows)
    enough = "enough" if trained >= ENOUGH * most else "too small"
    return (
        f"The budget has {trained} faces, {trained / most:.1f} times what the slowest needed; at "
        f"least {ENOUGH} times were wanted: it is {enough}."
    )
