"""After how many faces a baseline is better than bicubic enlargement."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from faceskd.evaluation.evaluate import BICUBIC
from faceskd.jobs.plan import Options, weights_of
from faceskd.jobs.runner import Runner
from faceskd.models.weights import read_metadata
from faceskd.reporting.curves import read_curves
from faceskd.reporting.tables import markdown_table
from faceskd.reproduce.rates import choice

BETTER = "better at the end"
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
    points = _psnr(folder)
    return next(((step + 1) * batch_size for step, psnr in points if psnr > bicubic), None)


def _psnr(folder: Path) -> Sequence[tuple[int, float]]:
    """(step, PSNR in dB) of each validation of a training."""
    return read_curves(folder / "csv").get("val/psnr", [])


def least_faces_section(options: Options, runner: Runner) -> list[str]:
    """Markdown: whether the budget is large enough for every baseline; [] without baselines."""
    rows = []
    for method in options["baselines"]:
        measured = runner.out / choice(method) / "metrics.json"
        if method in runner.outcomes and measured.is_file():
            record = json.loads(measured.read_text(encoding="utf-8"))
            bicubic = record["metrics"][BICUBIC]["values"]["psnr"]
            training = read_metadata(weights_of(method, runner.out))
            least = least_faces(runner.out / method, bicubic, training["batch_size"])
            trained = training["steps"] * training["batch_size"]
            end = [psnr > bicubic for _, psnr in _psnr(runner.out / method)[-1:]]
            better = "yes" if any(end) else "no"
            row = {"baseline": method, "faces": least, "trained on": trained}
            rows.append(row | {BETTER: better})
    if not rows:
        return []
    return [
        "## Are there enough faces?",
        "Faces after which each baseline was better than bicubic enlargement in PSNR, on the "
        "validation faces; the faces it was trained on; and whether it was better at the end. "
        f"{_verdict(rows)}",
        markdown_table(rows),
    ]


def _verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """Whether all baselines were trained on enough faces; SRGAN and SRFeat begin with half of them.

    Args:
        rows: {baseline, faces, "trained on", BETTER}; no `faces` where it never beat bicubic.
    """
    lost = [row["baseline"] for row in rows if row["faces"] and row[BETTER] == "no"]
    fell = f" {', '.join(lost)} fell below bicubic enlargement again." if lost else ""
    slow = [row["baseline"] for row in rows if row["faces"] is None]
    if slow:
        return f"{', '.join(slow)} never was: the budget is too small.{fell}"
    least = min(row["trained on"] / row["faces"] for row in rows)
    enough = "enough" if least >= ENOUGH else "too small"
    return (
        f"Each was trained on at least {least:.1f} times what it needed; at least {ENOUGH} times "
        f"were wanted: the budget is {enough}.{fell}"
    )
