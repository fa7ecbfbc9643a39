"""The experiment's results as a folder: results.md, results.json and a CSV file a table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from faceskd.common.files import write_text
from faceskd.common.machine import git_revision, machine_summary
from faceskd.jobs.report import jobs_section
from faceskd.jobs.runner import Runner
from faceskd.reporting.tables import format_cell, markdown_table, write_csv
from faceskd.reproduce.tables import (
    Comparison,
    Evaluated,
    compare_methods,
    cost_rows,
    direction,
)

PAPER_LIMITS = {"psnr": 0.1, "lpips": 0.02}
"""How near the paper's student is to its teacher: dB of PSNR, and LPIPS as a share."""
COST_TITLE = "Table 3. What networks cost"
COST_NOTE = (
    "One face at a time. `+mtcnn` includes the detection of the landmarks that the teacher needs. "
    "Memory: of the network while it runs, weights included. More in [profile](profile/profile.md)."
)
COMPARISON_NOTE = (
    "Differences of two methods on the same faces, with 95 % bootstrap intervals over faces; p by "
    "Wilcoxon's signed-rank test, and adjusted for the number of tests (Benjamini and Hochberg). "
    "The better of the two is named where the interval does not hold zero. One training each: the "
    "intervals are those of other faces, not of other seeds."
)


def write_results(
    options: Mapping[str, Any],
    runner: Runner,
    evaluations: Sequence[Evaluated],
    landmarks: Mapping[str, Any] | None,
) -> Path:
    """Write results.md, results.json and table_*.csv into the experiment's folder.

    Returns:
        The path of results.md.
    """
    out = runner.out
    comparisons = compare_methods(evaluations, options["comparisons"])
    costs = cost_rows(out / "profile" / "profile.json") if "profile" in runner.outcomes else []
    for evaluated in evaluations:
        write_csv(out / f"table_{evaluated.name}.csv", evaluated.rows())
    for name, rows in {"comparisons": [c.row() for c in comparisons], "costs": costs}.items():
        if rows:
            write_csv(out / f"table_{name}.csv", rows)
    record = {
        "budget": options["budget"],
        "evaluations": {evaluated.name: evaluated.record for evaluated in evaluations},
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "costs": costs,
        "landmarks": landmarks,
        "failures": runner.failures,
        "commands": {name: o.job.line() for name, o in runner.outcomes.items()},
        "machine": machine_summary(),
        "git_revision": git_revision(),
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    write_text(out / "results.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    parts = [
        *_head(options, record),
        *(part for evaluated in _sorted(evaluations) for part in [evaluated.markdown()]),
        *_costs(costs),
        *_comparisons(comparisons),
        *_landmarks(landmarks),
        *_commands(runner, record),
    ]
    write_text(out / "results.md", "\n\n".join(parts) + "\n")
    return out / "results.md"


def agreement(comparisons: Sequence[Comparison], student: str, teacher: str) -> list[str]:
    """Whether a student is as near to its teacher as the paper's: a sentence a metric."""
    lines = []
    for found in comparisons:
        if (found.first, found.second) != (student, teacher):
            continue
        name = next(key for key in PAPER_LIMITS if found.metric.startswith(key))
        limit, paired = PAPER_LIMITS[name], found.paired
        gap = paired.difference if name == "psnr" else paired.relative
        worse = -gap if direction(found.metric) == "higher" else gap
        unit, scale = ("dB", 1) if name == "psnr" else ("%", 100)
        verdict = "within" if worse <= limit else "not within"
        lines.append(
            f"- {student} is {abs(worse) * scale:.2f} {unit} {'worse' if worse > 0 else 'better'} "
            f"than {teacher} in {found.metric}: {verdict} the paper's {limit * scale:g} {unit}."
        )
    return lines


def _head(options: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    budget = options["budget"]
    parts = [
        f"# The paper's experiment, budget={budget['name']}",
        f"Every network here was trained by this run, for {budget['steps']} steps of "
        f"{budget['batch_size']} faces, at a learning rate of {budget['lr']:g} and with one seed; "
        "SRGAN and SRFeat for half of them with a pixel loss and for half as their papers do, at "
        f"{budget['gan_lr']:g}; the controls (`plain`, "
        f"`lite_plain`) for {budget['double']}, as long as a teacher and its student together. "
        "Means over faces; best in bold; the grid index is best where it is nearest to that of "
        "the HR faces.",
    ]
    if not (options["photos"] or options["faces"]):
        parts.append("The faces are drawings: figures on them say nothing of figures on people.")
    if record["failures"]:
        lines = [f"- `{name}`: {why}" for name, why in record["failures"].items()]
        parts.append("Failed:\n\n" + "\n".join(lines))
    return parts


def _sorted(evaluations: Sequence[Evaluated]) -> list[Evaluated]:
    return sorted(evaluations, key=lambda evaluated: evaluated.title)


def _costs(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"## {COST_TITLE}", COST_NOTE, markdown_table(rows)] if rows else []


def _comparisons(comparisons: Sequence[Comparison]) -> list[str]:
    if not comparisons:
        return []
    rows = [comparison.row() for comparison in comparisons]
    lines = agreement(comparisons, "student_mskd", "teacher")
    return [
        "## Two by two",
        COMPARISON_NOTE,
        markdown_table(rows),
        *(["\n".join(lines)] * bool(lines)),
    ]


def _landmarks(summary: Mapping[str, Any] | None) -> list[str]:
    if summary is None:
        return []
    sentence = (
        f"MTCNN finds landmarks on {summary['found_on_hr']} HR and on {summary['found_on_lr']} LR "
        f"images of {summary['faces']} faces."
    )
    if "interval_95" in summary:
        low, high = (format_cell("", value) for value in summary["interval_95"])
        sentence += (
            f" Those on LR are {summary['mean_error']:.4f} distances between the eyes from those "
            f"on HR in the mean (95 % interval {low} to {high}), {summary['median_error']:.4f} in "
            "the median."
        )
    return [
        "## Figure 1. Landmarks on HR (green) and on LR (red)",
        sentence,
        "![landmarks](landmarks/landmarks.png)",
    ]


def _commands(runner: Runner, record: Mapping[str, Any]) -> list[str]:
    facts = record["machine"] | {"git_revision": record["git_revision"] or "none"}
    listed = [{"what": key, "value": str(value)} for key, value in facts.items()]
    return [
        "## How it was made",
        f"Finished at {record['time']} on this machine:",
        markdown_table(listed),
        jobs_section(runner.outcomes.values()),
    ]
