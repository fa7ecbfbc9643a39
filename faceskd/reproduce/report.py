"""The results of `faceskd reproduce`: results.md, results.json and a CSV file for each table."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faceskd.common.files import write_text
from faceskd.common.machine import circumstances
from faceskd.jobs.report import jobs_section
from faceskd.jobs.runner import Runner
from faceskd.reporting.tables import format_cell, markdown_table, write_csv
from faceskd.reproduce.baselines import least_faces_section
from faceskd.reproduce.hypotheses import Hypothesis, compare_methods, conclusions
from faceskd.reproduce.page import JOBS_TITLE
from faceskd.reproduce.published import LIMITS
from faceskd.reproduce.rates import rates_section
from faceskd.reproduce.tables import Evaluated, cost_rows

COST_TITLE = "Table 3. Time, memory and work"
COST_NOTE = (
    "One face at a time. `+mtcnn` includes the detection of the landmarks that the teacher needs. "
    "Memory is that of the running network with its weights. More: [profile](profile/profile.md)."
)
CONCLUSION_NOTE = (
    "Each line is a hypothesis about two methods on the same faces. It is confirmed or "
    "contradicted if all of the 95 % interval says so. *As good as* means: at most "
    f"{LIMITS['psnr']:g} dB of PSNR and {100 * LIMITS['lpips']:g} % of LPIPS worse, a tolerance of "
    "ours; the paper's student is 0.05 to 0.06 dB below its teacher. Where both methods have "
    "several trainings, the interval contains the spread over faces and over trainings. Else it is "
    "over faces only: then the verdict is about these trainings, not about the methods."
)
COMPARISON_NOTE = (
    "Differences of two methods on the same faces. Where both have several trainings, the 95 % "
    "intervals are over faces and trainings, with Student's t and the degrees of freedom of Welch "
    "and Satterthwaite; else by bootstrap over faces only. p is from Wilcoxon's signed-rank test "
    "over faces alone; the adjusted p corrects it for the number of tests (Benjamini and Hochberg)."
)
PAPER_NOTE = (
    "Columns that say *paper* have figures of Jo et al. 2021: of other faces, other "
    "trainings and another network of LPIPS. Their order and differences can be compared with "
    "ours, their values cannot."
)


def write_results(
    options: Mapping[str, Any],
    runner: Runner,
    evaluations: Sequence[Evaluated],
    landmarks: Mapping[str, Any] | None,
) -> Path:
    """Write results.md, results.json and table_*.csv into the plan's folder.

    The results of a part are results-PART.md, results-PART.json and table_comparisons-PART.csv.

    Returns:
        The path of results.md.
    """
    out, suffix = runner.out, f"-{options['part']}" if options["part"] else ""
    others = options["other_dictionaries"]
    trained_as = {name: config["training"] for name, config in others.items()}
    comparisons = compare_methods(
        evaluations, options["comparisons"], options["as_good"], trained_as
    )
    costs = cost_rows(out / "profile" / "profile.json") if "profile" in runner.outcomes else []
    for evaluated in evaluations:
        write_csv(out / f"table_{evaluated.name}.csv", evaluated.rows())
    for name, rows in {"comparisons": [c.row() for c in comparisons], "costs": costs}.items():
        if rows:
            write_csv(out / f"table_{name}{suffix}.csv", rows)
    record = {
        "budget": options["budget"],
        "evaluations": {evaluated.name: evaluated.record for evaluated in evaluations},
        "comparisons": [asdict(c) | {"verdict": c.verdict} for c in comparisons],
        "costs": costs,
        "landmarks": landmarks,
        "failures": runner.failures,
        "commands": {name: o.job.line() for name, o in runner.outcomes.items()},
        **circumstances(),
    }
    write_text(
        out / f"results{suffix}.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    )
    parts = [
        *_head(options, record),
        *_conclusions(comparisons),
        *(part for evaluated in _sorted(evaluations) for part in [evaluated.markdown()]),
        *_costs(costs),
        *_comparisons(comparisons),
        *_landmarks(options, landmarks),
        *rates_section(options, runner),
        *least_faces_section(options, runner),
        *_commands(runner, record),
    ]
    results = out / f"results{suffix}.md"
    write_text(results, "\n\n".join(parts) + "\n")
    return results


def _head(options: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    budget = options["budget"]
    chosen = f", part={options['part']}" if options["part"] else ""
    if options["tables"] and not chosen:
        chosen = f", tables={','.join(options['tables'])}"
    trained = {method for table in options["evaluations"].values() for method in table["methods"]}
    parts = [
        f"# Reproduction of the paper, budget={budget['name']}{chosen}",
        f"This run trained every network of the tables, for {budget['steps']} steps of "
        f"{budget['batch_size']} faces, with one seed{_seeds(options, trained)}."
        f"{_halves(trained)}{_controls(budget)} {_rates(options)}",
        "Figures are means over faces; the best are in bold. The best grid index is the one that "
        f"is closest to that of the HR faces. {PAPER_NOTE}",
    ]
    if not (options["photos"] or options["faces"]):
        parts.append("The faces are drawings: the figures say nothing about faces of people.")
    if record["failures"]:
        lines = [f"- `{name}`: {why}" for name, why in record["failures"].items()]
        parts.append("Failed:\n\n" + "\n".join(lines))
    return parts


def _seeds(options: Mapping[str, Any], trained: Collection[str]) -> str:
    """Of the methods that have more."""
    several = [
        f"`{name}` with {count}"
        for name, count in options["seeds"].items()
        if count > 1 and name in trained
    ]
    return f" ({', '.join(several)})" if several else ""


def _halves(trained: Collection[str]) -> str:
    if not {"srgan", "srfeat"} & set(trained):
        return ""
    return (
        " SRGAN and SRFeat were trained for half of them with a pixel loss, and for half as their "
        "papers do."
    )


def _controls(budget: Mapping[str, Any]) -> str:
    if budget["double"] == budget["steps"]:
        return ""
    return (
        f" The controls (`plain`, `lite_plain`) were trained for {budget['double']} steps, as long "
        "as a teacher and its student together."
    )


def _rates(options: Mapping[str, Any]) -> str:
    if options["rates"]["methods"]:
        return "The learning rate of each method was chosen by one rule, see below."
    budget = options["budget"]
    return (
        f"The learning rate was {budget['lr']:g}, and {budget['gan_lr']:g} in the second half of "
        "SRGAN and SRFeat."
    )


def _sorted(evaluations: Sequence[Evaluated]) -> list[Evaluated]:
    return sorted(evaluations, key=lambda evaluated: evaluated.title)


def _costs(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"## {COST_TITLE}", COST_NOTE, markdown_table(rows)] if rows else []


def _conclusions(hypotheses: Sequence[Hypothesis]) -> list[str]:
    if not hypotheses:
        return []
    return ["## What is confirmed?", CONCLUSION_NOTE, *conclusions(hypotheses)]


def _comparisons(hypotheses: Sequence[Hypothesis]) -> list[str]:
    if not hypotheses:
        return []
    rows = [hypothesis.row() for hypothesis in hypotheses]
    return ["## Comparisons", COMPARISON_NOTE, markdown_table(rows)]


def _landmarks(options: Mapping[str, Any], summary: Mapping[str, Any] | None) -> list[str]:
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
        *(["![landmarks](landmarks/landmarks.png)"] if options["show"] else []),
    ]


def _commands(runner: Runner, record: Mapping[str, Any]) -> list[str]:
    facts = record["machine"] | {"git_revision": record["git_revision"] or "none"}
    listed = [{"what": key, "value": str(value)} for key, value in facts.items()]
    return [
        "## How it was made",
        f"Finished at {record['time']} on this machine:",
        markdown_table(listed),
        JOBS_TITLE,
        jobs_section(runner.outcomes.values()),
    ]
