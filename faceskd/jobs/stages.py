"""The stages in sequence: each a command that could be typed, done once, and timed.

A stage leaves `<out>/stages/<name>.json` with what it was told and what came before it; it is done
again only when either changed, and then from the beginning. One that was broken off goes on where
it was: a training from its last checkpoint, and the others as far as they can.
"""

import fcntl
import hashlib
import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.rule import Rule

from faceskd.cli import HYDRA_COMMANDS, PLAIN_COMMANDS
from faceskd.common.config import EXIT_UNFINISHED, compose
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import make_folder, write_text
from faceskd.dictionary.build import peak_memory_mib

ANEW = {"train": "resume=false", "prepare": "overwrite=true"}
"""What lets a command forget what it did when it was told something else."""
EXIT_SOME_FAILED = 1
"""How a command ends that did its work, but for some files that it names."""


class UnfinishedError(FaceskdError):
    """A stage whose time was up: nothing is wrong, the next run goes on."""


@dataclass(frozen=True)
class Stage:
    """One command of the pipeline."""

    name: str
    command: str
    overrides: tuple[str, ...]

    def line(self) -> str:
        """What a user would type."""
        return shlex.join(["faceskd", self.command, *self.overrides])


@dataclass(frozen=True)
class Outcome:
    """What became of a stage: its time, in seconds, and whether it had been done before."""

    stage: Stage
    seconds: float
    peak_memory_mib: float
    cached: bool


def run_pipeline(
    stages: Sequence[Stage], out: Path | str, *, restart: bool = False, console: Console
) -> list[Outcome]:
    """Run what is not done yet, in order.

    Raises:
        FaceskdError: a stage failed; those before it stay done.
    """
    history = hashlib.sha256()
    outcomes = []
    for stage in stages:
        history.update(stage.line().encode())
        outcomes.append(run_once(stage, history.hexdigest(), out, restart=restart, console=console))
    return outcomes


def run_once(
    stage: Stage, history: str, out: Path | str, *, restart: bool = False, console: Console
) -> Outcome:
    """Run a stage, or go on with it, unless it was finished with the same history.

    Where another process runs the same stage, this one waits for it.

    Args:
        history: names what the stage was told and what came before it.

    Raises:
        FaceskdError: it failed.
    """
    marker = make_folder(Path(out) / "stages") / f"{stage.name}.json"
    console.print(Rule(stage.name))
    console.print(f"$ {stage.line()}", markup=False, highlight=False, soft_wrap=True)
    with _alone(marker.with_suffix(".lock")):
        before = {} if restart else _read(marker, history)
        if "seconds" in before:
            console.print(f"done before, in {before['seconds']:.0f} s")
            return Outcome(stage, before["seconds"], before["peak_memory_mib"], True)
        record: dict[str, Any] = {"history": history, "command": stage.line()}
        write_text(marker, json.dumps(record, indent=2))
        start = time.perf_counter()
        run_stage(stage, anew=not before)
        seconds, peak = time.perf_counter() - start, peak_memory_mib()
        record |= {"seconds": seconds, "peak_memory_mib": peak}
        write_text(marker, json.dumps(record, indent=2))
    return Outcome(stage, seconds, peak, False)


def run_stage(stage: Stage, *, anew: bool = False) -> None:
    """Run one command in this process.

    Args:
        anew: use nothing that an earlier run left.

    Raises:
        FaceskdError: there is no such command, or it failed.
    """
    if stage.command not in HYDRA_COMMANDS | PLAIN_COMMANDS:
        raise ConfigError(f"stage {stage.name}: there is no command {stage.command!r}")
    overrides = [*stage.overrides]
    if anew and stage.command in ANEW:
        overrides.append(ANEW[stage.command])
    main = import_module(f"faceskd.commands.{stage.command}").main
    try:
        if stage.command in PLAIN_COMMANDS:
            status = main(overrides)
        else:
            main.task(compose(stage.command, overrides))
            status = 0
    except SystemExit as end:
        status = end.code or 0
    if status == EXIT_UNFINISHED:
        raise UnfinishedError(f"the stage {stage.name} was stopped by its time limit: run it again")
    if status not in (0, EXIT_SOME_FAILED):
        raise FaceskdError(f"the stage {stage.name} failed with status {status}")


def read_stages(
    configs: Mapping[str, Mapping[str, Any]], shared: Sequence[str], *, skip: Sequence[str] = ()
) -> list[Stage]:
    """Stages from their configs; `train` ones get the shared overrides, a name and a folder."""
    stages = []
    for name, config in configs.items():
        if name in skip:
            continue
        overrides = [str(override) for override in config["overrides"]]
        if config["command"] == "train":
            overrides = [overrides[0], f"name={name}", *shared, *overrides[1:]]
        stages.append(Stage(name, str(config["command"]), tuple(overrides)))
    return stages


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time; the system gives the lock back when a process ends in any way."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(marker: Path, history: str) -> dict[str, Any]:
    """What is known of an earlier run with the same history: `seconds` if it finished, or {}."""
    if not marker.is_file():
        return {}
    record = json.loads(marker.read_text(encoding="utf-8"))
    return record if record.get("history") == history else {}
