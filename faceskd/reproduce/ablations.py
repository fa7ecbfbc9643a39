"""Ablations: trainings of the plan repeated with one change, compared with the plan's own."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faceskd.common.arguments import QUOTE, quoted
from faceskd.common.checks import check_choices
from faceskd.common.errors import ConfigError
from faceskd.evaluation.statistics import compare_paired
from faceskd.jobs.plan import Options
from faceskd.jobs.runner import Runner
from faceskd.reporting.tables import format_cell, markdown_table
from faceskd.reproduce.evaluations import SPLIT

ALL = "all"


def chosen_ablations(options: Options) -> list[str]:
    """The names that `ablate` asks for.

    Raises:
        ConfigError: there is no such ablation.
    """
    asked = options["ablate"]
    if asked is None:
        return []
    names = [name for name in options["ablations"] if _is_possible(name, options)]
    asked = [asked] if isinstance(asked, str) else list(asked)
    check_choices([ALL, *names], ablate=asked)
    return names if ALL in asked else asked


def _is_possible(name: str, options: Options) -> bool:
    """Whether neither an ablation nor one of the jobs it repeats is left out of the plan."""
    config, jobs = options["ablations"][name], options["jobs"]
    return config is not None and not any(
        job in jobs and jobs[job] is None for job in config["jobs"]
    )


def ablated(name: str, job: str) -> str:
    """The name of a job with the change of an ablation."""
    return f"{job}_{name}"


def with_ablations(options: Options) -> dict[str, Any]:
    """The options with the jobs of the ablations that `ablate` asks for.

    An ablation is {jobs, overrides, needs}: these trainings are repeated with these overrides, each
    from what the one before wrote. All else they need is the plan's; `needs` names the jobs that
    the overrides need besides. Both may be left out.
    """
    jobs = dict(options["jobs"])
    for name in chosen_ablations(options):
        chain = options["ablations"][name]["jobs"]
        for job in chain:
            if job not in options["jobs"]:
                raise ConfigError(f"the ablation {name} repeats {job!r}: there is no such job")
            config = options["jobs"][job]
            jobs[ablated(name, job)] = {
                **config,
                "needs": [*(ablated(name, need) if need in chain else need
                            for need in config.get("needs") or ()),
                          *(options["ablations"][name].get("needs") or ())],
                "overrides": [
                    *(_renamed(text, name, chain, options["out"])
                      for text in config.get("overrides") or ()),
                    *(options["ablations"][name].get("overrides") or ()),
                ],
            }  # fmt: skip
    return {**options, "jobs": jobs}


def _renamed(override: str, name: str, chain: list[str], out: str) -> str:
    for job in chain:
        old, new = (quoted(f"{out}/{one}/").strip(QUOTE) for one in (job, ablated(name, job)))
        override = override.replace(old, new)
    return override


def ablation_section(options: Options, runner: Runner) -> list[str]:
    """Markdown: what each change does; [] where there is none."""
    rows = ablation_rows(options, runner)
    if not rows:
        return []
    return [
        "## Ablations",
        f"Figures on the {SPLIT} split with the change, minus those of the plan, face by face: "
        "mean and 95 % bootstrap interval.",
        markdown_table(rows),
    ]


def ablation_rows(options: Options, runner: Runner) -> list[dict[str, str]]:
    """A row for each ablation that is measured."""
    rows = []
    for name in chosen_ablations(options):
        whole = options["ablations"][name]["jobs"][-1]
        job = ablated(name, whole)
        if {f"{whole}_{SPLIT}", f"{job}_{SPLIT}"} <= set(runner.outcomes):
            unchanged, changed = (_per_face(runner.out, each) for each in (whole, job))
            differences = {m: _difference(m, changed[m], unchanged[m]) for m in unchanged}
            rows.append({"ablation": name, "network": whole, **differences})
    return rows


def _difference(metric: str, changed: Mapping[str, float], whole: Mapping[str, float]) -> str:
    found = compare_paired(changed, whole)
    cells = [format_cell(metric, value) for value in (found.difference, found.low, found.high)]
    return f"{cells[0]} ({cells[1]} to {cells[2]})"


def _per_face(out: Path, job: str) -> dict[str, dict[str, float]]:
    """Metric -> face -> value, of a network on the val split."""
    found: dict[str, dict[str, float]] = {}
    with (out / job / SPLIT / "per_image.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["method"] == job:
                for metric in set(row) - {"name", "method"}:
                    if row[metric]:
                        found.setdefault(metric, {})[row["name"]] = float(row[metric])
    return {metric: found[metric] for metric in sorted(found)}
