"""The results of `faceskd reproduce`: results.md, results.json and a CSV file for each table."""

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
"""Largest gap between the paper's student and its teacher: dB of PSNR, and share of LPIPS."""
COST_TITLE = "Table 3. Time, memory and work"
COST_NOTE = (
    "One face at a time. `+mtcnn` includes the detection of the landmarks that the teacher needs. "
    "Memory is that of the running network with its weights. More: [profile](profile/profile.md)."
)
COMPARISON_NOTE = (
    "Differences of two methods on the same faces, with 95 % bootstrap intervals over faces. p is "
    "from Wilcoxon's signed-rank test, the adjusted p corrects it for the number of tests "
    "(Benjamini and Hochberg). The better method is named unless the interval contains zero. Where "
    "a method was trained once, the intervals show the spread over faces, not over seeds; p is "
    "over faces alone."
)


def write_results(
    options: Mapping[str, Any],
    runner: Runner,
    evaluations: Sequence[Evaluated],
    landmarks: Mapping[str, Any] | None,
) -> Path:
    """Write results.md, results.json and table_*.csv into the plan's folder.

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
    """Whether a student is as close to its teacher as the paper's: a sentence for each metric."""
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
        f"# Reproduction of the paper, budget={budget['name']}",
        f"This run trained every network, for {budget['steps']} steps of "
        f"{budget['batch_size']} faces, at a learning rate of {budget['lr']:g} and with one seed"
        f"{_seeds(options)}; SRGAN and SRFeat for half of them with a pixel loss and for half as "
        "their papers do, at "
        f"{budget['gan_lr']:g}; the controls (`plain`, "
        f"`lite_plain`) for {budget['double']}, as long as a teacher and its student together. "
        "Figures are means over faces; the best are in bold. The best grid index is the one that "
        "is closest to that of the HR faces.",
    ]
    if not (options["photos"] or options["faces"]):
        parts.append("The faces are drawings: the figures say nothing about faces of people.")
    if record["failures"]:
        lines = [f"- `{name}`: {why}" for name, why in record["failures"].items()]
        parts.append("Failed:\n\n" + "\n".join(lines))
    return parts


def _seeds(options: Mapping[str, Any]) -> str:
    """Of the methods that have more."""
    several = [f"`{name}` with {count}" for name, count in options["seeds"].items() if count > 1]
    return f" ({', '.join(several)})" if several else ""


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
        "## Comparisons",
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
            f" The mean distance between the two is {summary['mean_error']:.4f} of the distance of "
            f"the eyes (95 % interval {low} to {high}), the median {summary['median_error']:.4f}."
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
