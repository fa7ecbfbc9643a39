"""The paper's experiment as jobs: what each needs, in an order that works, whatever fails.

A job is a stage of the pipeline that knows which jobs it needs. It is done again only when its own
command, or that of a job it needs, changed; the failure of one is noted, and only the jobs that
need it are left out.
"""

import gc
import hashlib
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from rich.console import Console

from faceskd.common.arguments import quoted
from faceskd.common.errors import ConfigError, reason
from faceskd.common.files import make_folder, write_text
from faceskd.jobs.stages import Outcome, Stage, run_once

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Job:
    """A stage and the names of the jobs that must be done before it."""

    stage: Stage
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.stage.name


def read_jobs(
    configs: Mapping[str, Mapping[str, Any] | None],
    shared: Mapping[str, Sequence[str]],
    out: Path | str,
) -> dict[str, Job]:
    """Jobs from their configs, each after what it needs.

    A config is `{command, needs, uses, overrides}`; a job without one (null) is left out, and no
    other needs it then. A `train` job gets its name, its folder `<out>/<name>` and the overrides
    `shared["train"]`; `uses` names others of `shared`.

    Raises:
        ConfigError: a job needs one that does not exist, or itself by way of others.
    """
    wanted = {name: config for name, config in configs.items() if config is not None}
    jobs = {}
    for name, config in wanted.items():
        needs = list(config.get("needs", ()))
        if unknown := sorted(set(needs) - set(configs)):
            raise ConfigError(f"the job {name} needs {unknown[0]!r}: there is no such job")
        stage = Stage(name, str(config["command"]), _overrides(name, config, shared, out))
        jobs[name] = Job(stage, tuple(need for need in needs if need in wanted))
    return {name: jobs[name] for name in _in_order(jobs)}


def select_jobs(jobs: Mapping[str, Job], only: Collection[str]) -> dict[str, Job]:
    """Some jobs and all that they need, in the order of `jobs`.

    Raises:
        ConfigError: there is no such job.
    """
    if unknown := sorted(set(only) - set(jobs)):
        raise ConfigError(f"expected jobs of {', '.join(jobs)}; got {unknown[0]!r}")
    wanted = set(only)
    for name in reversed(list(jobs)):  # what needs comes after what is needed
        if name in wanted:
            wanted |= set(jobs[name].needs)
    return {name: job for name, job in jobs.items() if name in wanted}


class Runner:
    """Runs jobs one by one and keeps what became of each.

    Args:
        out: the experiment's folder; markers and errors go into `<out>/stages/`.
        restart: do everything again.

    Attributes:
        outcomes: of the jobs that are done, in the order they were run.
        failures: for each job that is not done, why.
    """

    def __init__(self, out: Path | str, *, restart: bool = False, console: Console) -> None:
        self.out = Path(out)
        self.restart = restart
        self.console = console
        self.outcomes: dict[str, Outcome] = {}
        self.failures: dict[str, str] = {}
        self._histories: dict[str, str] = {}

    def run(self, job: Job) -> None:
        """Run a job, unless it is done or something it needs is not."""
        missing = [need for need in job.needs if need not in self.outcomes]
        if missing:
            self._fail(job, f"it needs {missing[0]}, which is not done")
            return
        parts = (job.stage.line(), *(self._histories[need] for need in job.needs))
        history = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        try:
            outcome = run_once(
                job.stage, history, self.out, restart=self.restart, console=self.console
            )
        except Exception as error:  # whatever breaks one method, the others go on
            trace = make_folder(self.out / "stages") / f"{job.name}.error.txt"
            write_text(trace, traceback.format_exc())
            self._fail(job, reason(error))
        else:
            self.outcomes[job.name] = outcome
            self._histories[job.name] = history
        gc.collect()  # networks and optimisers hold each other

    def _fail(self, job: Job, why: str) -> None:
        self.failures[job.name] = why
        self.console.print(f"{job.name} failed: {why}", style="bold red", markup=False)


def weights_of(name: str, out: Path | str) -> Path:
    """Where the `train` job of a name leaves its network."""
    return Path(out) / name / WEIGHTS


def _overrides(
    name: str,
    config: Mapping[str, Any],
    shared: Mapping[str, Sequence[str]],
    out: Path | str,
) -> tuple[str, ...]:
    own = [str(override) for override in config.get("overrides", ())]
    uses = list(config.get("uses", ()))
    if config["command"] == "train":
        own += [f"name={name}", f"out={quoted(str(Path(out) / name))}"]
        uses = ["train", *uses]
    if unknown := sorted(set(uses) - set(shared)):
        raise ConfigError(f"the job {name} uses {unknown[0]!r}: expected {', '.join(shared)}")
    # Shared ones come first, so that a job's own have the last word.
    return (*(str(override) for key in uses for override in shared[key]), *own)


def _in_order(jobs: Mapping[str, Job]) -> list[str]:
    try:
        return list(TopologicalSorter({n: job.needs for n, job in jobs.items()}).static_order())
    except CycleError as error:
        raise ConfigError(f"jobs need each other: {' -> '.join(error.args[1])}") from None
