"""`faceskd release`: train the networks that come with the package, and evaluate each."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from faceskd.common.arguments import quoted
from faceskd.common.files import write_text
from faceskd.data.manifest import read_manifest
from faceskd.evaluation.evaluate import BICUBIC
from faceskd.jobs.plan import Options, read_plan, weights_of
from faceskd.jobs.report import jobs_section
from faceskd.jobs.runner import RunCommand, Runner
from faceskd.models.weights import read_metadata
from faceskd.reporting.tables import markdown_table

SPLIT = "val"
"""Choices are made on this split; the test split is for the final figures alone."""
NETWORK = "network"
"""The list of shared overrides of a training that makes a network, and not an encoder."""


def train_release(options: Options, run_command: RunCommand, console: Console) -> int:
    """Run or resume the plan of `conf/release.yaml`; write `<out>/summary.md`.

    Args:
        options: that config, plain.
        run_command: runs a command of faceskd by name.
        console: where progress is printed.

    Returns:
        The exit status, see `Runner.report`.

    Raises:
        FaceskdError: an option is invalid, or there are no prepared faces at `faces`.
    """
    read_manifest(options["faces"], SPLIT)
    runner = Runner.of(options, run_command, console)
    runner.run_all(read_plan(with_evaluations(options)))
    if evaluated := [name for name in runner.outcomes if name.endswith(f"_{SPLIT}")]:
        rows = [row for name in evaluated for row in _summary_rows(name, runner)]
        jobs = jobs_section(runner.outcomes.values())
        summary = runner.out / "summary.md"
        write_text(summary, f"# Release\n\n{markdown_table(rows)}\n\n## Jobs\n\n{jobs}\n")
        console.print(f"summary: {summary}", markup=False, highlight=False, soft_wrap=True)
    return runner.report()


def with_evaluations(options: Options) -> dict[str, Any]:
    """The options with a job `NAME_val` after the training NAME of each network.

    A training of a network is one that uses `shared.network`. Where `only` names it, it gets its
    evaluation too.
    """
    jobs: dict[str, Any] = {}
    trained = []
    for name, config in options["jobs"].items():
        jobs[name] = config
        if config and NETWORK in (config.get("uses") or ()):
            trained.append(name)
            jobs[f"{name}_{SPLIT}"] = _evaluation(name, Path(options["out"]))
    only = options["only"]
    if only is not None:
        only = [only] if isinstance(only, str) else list(only)
        only += [f"{name}_{SPLIT}" for name in only if name in trained]
    return {**options, "jobs": jobs, "only": only}


def _evaluation(name: str, out: Path) -> dict[str, Any]:
    return {
        "command": "evaluate",
        "needs": ["faces", name],
        "uses": ["evaluate"],
        "overrides": [
            f"split={SPLIT}",
            f"++methods.{name}={quoted(str(weights_of(name, out)))}",
            f"out={quoted(str(out / name / SPLIT))}",
        ],
    }


def _summary_rows(job: str, runner: Runner) -> list[dict[str, Any]]:
    """The figures of bicubic interpolation and of a network on the same faces."""
    name = job.removesuffix(f"_{SPLIT}")
    metrics = json.loads((runner.out / name / SPLIT / "metrics.json").read_text("utf-8"))["metrics"]
    facts = {
        "steps": read_metadata(weights_of(name, runner.out)).get("steps"),
        "hours": round(runner.outcomes[name].seconds / 3600, 2),
    }
    return [
        {"evaluation": job, "method": method, **own, **metrics[method]["values"]}
        for method, own in ((BICUBIC, dict.fromkeys(facts)), (name, facts))
    ]
