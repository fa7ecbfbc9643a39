"""`faceskd release`: train what ships by one plan, measure it, and write files and cards."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console

from faceskd.common.errors import ConfigError
from faceskd.common.files import write_text
from faceskd.common.machine import git_revision
from faceskd.data.layout import OK, verify
from faceskd.data.sources import read_sources
from faceskd.jobs.plan import Job, Options, given_jobs, read_plan, weights_of
from faceskd.jobs.report import jobs_section
from faceskd.jobs.runner import RunCommand, Runner
from faceskd.models.weights import read_metadata
from faceskd.reporting.curves import plot_validations
from faceskd.reporting.tables import markdown_table
from faceskd.reproduce.ablations import ablation_section, with_ablations
from faceskd.reproduce.checks import check_trainings
from faceskd.reproduce.evaluations import (
    SPLIT,
    enlargement,
    figures_of,
    metrics_of,
    with_evaluations,
)

MODELS = "models"
CURVES = "curves.png"
PLAN_NAME = "plan.txt"


def train_release(options: Options, run_command: RunCommand, console: Console) -> int:
    """Run or resume the plan of `conf/release.yaml`; write `<out>/models` and `<out>/summary.md`.

    Args:
        options: that config, plain.
        run_command: runs a command of faceskd by name.
        console: where progress is printed.

    Returns:
        The exit status, see `Runner.report`. The models are written once all jobs are done.

    Raises:
        FaceskdError: an option is invalid, the source has changes, the photos are not those of
            the package's table, or `out` belongs to another plan.
    """
    from faceskd.reproduce.cards import write_models

    revision = check_revision(dirty=options["dirty"])
    data = check_photos(options)
    jobs = planned(options)
    runner = Runner.of(options, run_command, console)
    check_folder(options)
    runner.run_all(jobs)
    if any(name.endswith(f"_{SPLIT}") for name in runner.outcomes):
        summary = runner.out / "summary.md"
        write_text(summary, summarise(options, runner))
        console.print(f"summary: {summary}", markup=False, highlight=False, soft_wrap=True)
    if options["only"] is None and not (runner.unfinished or runner.failures):
        write_models(with_evaluations(options), runner, revision=revision, data=data)
        models = runner.out / MODELS
        console.print(f"models: {models}", markup=False, highlight=False, soft_wrap=True)
    return runner.report()


def planned(options: Options) -> dict[str, Job]:
    """The jobs of a plan, with its evaluations and the chosen ablations.

    The folders of `places` that no job is given, such as `bad_photos`, become given jobs: their
    content counts in the keys of the jobs that read them, and not where they are.

    Raises:
        ConfigError: an option is invalid, or there is no such folder.
    """
    options = with_evaluations(with_ablations(options))
    folders = {name: options[name] for name in options["places"] if name not in options["jobs"]}
    jobs = read_plan({**options, "jobs": options["jobs"] | given_jobs(folders)})
    check_trainings(jobs)
    return jobs


def check_folder(options: Options) -> None:
    """Write the name of the plan and its seed into its folder.

    Raises:
        ConfigError: the folder belongs to another plan or seed. Jobs of the same name would delete
            its results.
    """
    marker = Path(options["out"]) / PLAN_NAME
    mine = f"plan={options['plan_name']} seed={options['seed']}"
    if marker.is_file() and (found := marker.read_text(encoding="utf-8").strip()) != mine:
        raise ConfigError(
            f"expected a folder of {mine} as out={options['out']!r}, got one of {found}: give each "
            "plan and each seed a folder of its own"
        )
    write_text(marker, f"{mine}\n")


def check_revision(*, dirty: bool) -> str:
    """The revision of the source, "+changes" after it where there are any.

    Raises:
        ConfigError: it has changes, or this is no checkout, and `dirty` is false.
    """
    revision = git_revision()
    if not dirty and (revision is None or "+" in revision):
        found = "no git checkout" if revision is None else f"{revision}, which is not committed"
        raise ConfigError(
            f"a release is made from a committed source, found {found}: commit first, or say "
            "dirty=true, which the cards will say, too"
        )
    return revision or "no git checkout"


def check_photos(options: Options) -> dict[str, Any]:
    """What the cards say of the photos: how many are those of the package's table.

    Empty for a plan without photos.

    Raises:
        FaceskdError: there is no such folder; or some are others, and `other_photos` is false.
    """
    job = options["jobs"].get("photos")
    if job is None:
        return {}
    if job.get("given") is None and job.get("overrides"):
        return {"photos": "drawn by faceskd"}
    if options["photos"] is None:
        raise ConfigError("expected photos as the folder that `faceskd data layout` wrote")
    counts = Counter(one.status for one in verify(options["photos"], read_sources()))
    if set(counts) != {OK} and not options["other_photos"]:
        raise ConfigError(
            f"the photos in {options['photos']!r} are not those of the package's table "
            f"({dict(counts)}): see `faceskd data verify`, or say other_photos=true, which the "
            "cards will say, too"
        )
    return {"photos": dict(counts)}


def summarise(options: Options, runner: Runner) -> str:
    """Markdown: the figures and curves of every phase, the ablations, hours, and the jobs."""
    evaluated = [name for name in runner.outcomes if name.endswith(f"_{SPLIT}")]
    rows = [row for name in evaluated for row in _summary_rows(name, runner)]
    hours = sum(outcome.seconds for outcome in runner.outcomes.values()) / 3600
    parts = [
        "# Release",
        f"Seed {options['seed']}. {hours:.2f} hours so far; the plan allows {options['hours']}, "
        "without ablations.",
        f"Figures of the {SPLIT} split.",
        markdown_table(rows),
        *_curves(runner),
        *ablation_section(options, runner),
        "## Jobs",
        jobs_section(runner.outcomes.values()),
    ]
    return "\n\n".join(parts) + "\n"


def _curves(runner: Runner) -> list[str]:
    trained = {
        name: runner.out / name / "csv"
        for name, outcome in runner.outcomes.items()
        if outcome.job.command == "train"
    }
    if not plot_validations(trained, runner.out / CURVES):
        return []
    return [f"![Validations of every training, by step]({CURVES})"]


def _summary_rows(job: str, runner: Runner) -> list[dict[str, Any]]:
    """The figures of plain enlargement and of a network on the same faces."""
    name = job.removesuffix(f"_{SPLIT}")
    metrics = json.loads(metrics_of(runner.out, name, SPLIT).read_text("utf-8"))["metrics"]
    facts = {
        "steps": read_metadata(weights_of(name, runner.out)).get("steps"),
        "hours": round(runner.outcomes[name].seconds / 3600, 2),
    }
    return [
        {"evaluation": job, "method": method, **own, **figures_of(metrics[method]["values"])}
        for method, own in ((enlargement(metrics), dict.fromkeys(facts)), (name, facts))
    ]
