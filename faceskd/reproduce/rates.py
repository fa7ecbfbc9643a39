"""The learning rate of each method, chosen on the validation faces by one rule for all methods.

A method is trained for a few steps with each of some rates, and these trials are measured on the
validation faces. The rate with the highest score is taken:

    score = PSNR - 10 log10(LPIPS)

Both terms are in dB: the rule takes the rate with the smallest product of squared error and LPIPS.
Where LPIPS cannot be measured, PSNR alone decides. A trial that failed is not taken.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from faceskd.common.arguments import quoted
from faceskd.common.errors import ConfigError
from faceskd.jobs.plan import Job, Options, weights_of
from faceskd.jobs.runner import Runner
from faceskd.reporting.tables import markdown_table


def trial(method: str, number: int) -> str:
    """The job that trains a method with the rate of this number, from 1 on."""
    return f"{method}_rate{number}"


def choice(method: str) -> str:
    """The job that measures the trials of a method."""
    return f"{method}_rate"


def with_rates(options: Options) -> dict[str, Any]:
    """The options with jobs that choose the learning rate of each method of `rates.methods`.

    A method needs its choice, which needs its trials. The trials need what the method needs. The
    methods of `rates.like` get the rate of another.

    Args:
        options: the config of a plan, with `rates`: {values, overrides, methods, like}.

    Raises:
        ConfigError: a method is not a training of the plan, or `like` names another, or one that is
            left out.
    """
    rates, jobs = options["rates"], dict(options["jobs"])
    left_out = {name for name, job in jobs.items() if job is None}
    for method in rates["methods"]:
        if method in left_out:
            continue
        job = jobs.get(method)
        if job is None or job["command"] != "train":
            raise ConfigError(
                f"expected rates.methods to name trainings of the plan, got {method!r}"
            )
        trials = []
        for number, rate in enumerate(rates["values"], start=1):
            trials.append(trial(method, number))
            overrides = [*(job.get("overrides") or ()), *rates["overrides"]]
            jobs[trials[-1]] = {**job, "overrides": [*overrides, f"learning_rate={rate:g}"]}
        jobs[choice(method)] = {
            "command": "evaluate",
            "needs": trials,
            "uses": ["rates"],
            "overrides": [f"out={quoted(str(Path(options['out']) / choice(method)))}"],
        }
        jobs[method] = {**job, "needs": [*(job.get("needs") or ()), choice(method)]}
    for method, other in rates["like"].items():
        if method in left_out:
            continue
        if other in left_out:
            raise ConfigError(
                f"expected the training {other}, whose learning rate {method} takes, got "
                f"jobs.{other}=null: also leave {method} out"
            )
        if other not in rates["methods"] or jobs.get(method) is None:
            raise ConfigError(f"expected rates.like to name methods, got {method!r}: {other!r}")
        needs = jobs[method].get("needs") or ()
        jobs[method] = {**jobs[method], "needs": [*needs, choice(other)]}
    return {**options, "jobs": jobs}


def complete(job: Job, options: Options, runner: Runner) -> Job:
    """A job of `with_rates`, when the jobs before it are over, as it is to be run.

    A choice measures the trials that did not fail. A training gets the rate that was chosen.
    """
    methods = options["rates"]["methods"]
    if job.name in map(choice, methods):
        done = [need for need in job.needs if need in runner.outcomes]
        files = [f"++methods.{name}={quoted(str(weights_of(name, runner.out)))}" for name in done]
        return replace(job, overrides=(*job.overrides, *files), needs=tuple(done) or job.needs)
    for method in methods:
        if choice(method) in job.needs and choice(method) in runner.outcomes:
            rate = chosen_rate(method, options["rates"]["values"], runner.out)
            return replace(job, overrides=(*job.overrides, f"learning_rate={rate:g}"))
    return job


def chosen_rate(method: str, rates: Sequence[float], out: Path) -> float:
    """The rate with the highest score; the lowest of equal ones."""
    scores = trial_scores(method, rates, out)
    return min(scores, key=lambda rate: (-scores[rate], rate))


def trial_scores(method: str, rates: Sequence[float], out: Path) -> dict[float, float]:
    """Rate -> score in dB, for the trials that were measured."""
    record = json.loads((out / choice(method) / "metrics.json").read_text(encoding="utf-8"))
    measured = {
        rate: record["metrics"][trial(method, number)]["values"]
        for number, rate in enumerate(rates, start=1)
        if trial(method, number) in record["metrics"]
    }
    return {rate: score(values) for rate, values in measured.items()}


def score(values: Mapping[str, float]) -> float:
    """PSNR - 10 log10(LPIPS), in dB, of one trial's figures; PSNR where there is no LPIPS.

    Examples:
        >>> score({"psnr": 26.0, "lpips_squeeze": 0.1})
        36.0
    """
    lpips = next((value for name, value in values.items() if name.startswith("lpips")), 1.0)
    return values["psnr"] - 10 * math.log10(lpips)


def rate_rows(options: Options, runner: Runner) -> list[dict[str, Any]]:
    """A row for each method whose rate was chosen: the score of each rate, and the choice."""
    values = options["rates"]["values"]
    rows = []
    for method in options["rates"]["methods"]:
        if choice(method) in runner.outcomes:
            scores = trial_scores(method, values, runner.out)
            chosen = chosen_rate(method, values, runner.out)
            rows.append(
                {"method": method}
                | {f"score at {rate:g}": _shown(scores.get(rate)) for rate in values}
                | {"chosen": f"{chosen:g}"}
                | {"at an end": "yes" if chosen in (min(values), max(values)) else "no"}
            )
    return rows


def _shown(score: float | None) -> str:
    return "failed" if score is None else f"{score:.2f}"


def rates_section(options: Options, runner: Runner) -> list[str]:
    """Markdown: the rule and the table of the rates; [] where none was chosen."""
    rows = rate_rows(options, runner)
    if not rows:
        return []
    rates = options["rates"]
    short = ", ".join(f"`{override}`" for override in rates["overrides"])
    parts = [
        "## How the learning rates were chosen",
        f"Each method was trained shortly ({short}) with each rate and measured on the validation "
        "faces. The rate with the highest score was taken: PSNR - 10 log10(LPIPS), in dB. Where it "
        "is at an end of the range, a rate beyond it may be better.",
        markdown_table(rows),
    ]
    like = [
        f"`{method}` that of `{other}`"
        for method, other in rates["like"].items()
        if method in runner.outcomes
    ]
    if like:
        named = ", ".join(like)
        parts.append(f"These took the rate of another: {named}.")
    return parts
