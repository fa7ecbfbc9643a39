"""The stages in sequence: each a command that could be typed, done once, and timed.

A stage that finished leaves `<out>/stages/<name>.json` with what it was told and what came before
it; it is done again only when either changed. A training that was broken off goes on from its last
checkpoint, and so do the other stages as far as they can.
"""

import hashlib
import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.rule import Rule

from faceskd.build_dictionary import peak_memory_mib
from faceskd.cli import HYDRA_COMMANDS, PLAIN_COMMANDS
from faceskd.config import compose
from faceskd.errors import ConfigError, FaceskdError
from faceskd.files import make_folder, write_text

EXIT_SOME_FAILED = 1
"""How a command ends that did its work, but for some files that it names."""


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
    folder = make_folder(Path(out) / "stages")
    history = hashlib.sha256()
    outcomes = []
    for stage in stages:
        history.update(stage.line().encode())
        marker = folder / f"{stage.name}.json"
        done = None if restart else _finished(marker, history.hexdigest())
        console.print(Rule(stage.name))
        console.print(f"$ {stage.line()}", markup=False, highlight=False, soft_wrap=True)
        if done is not None:
            console.print(f"done before, in {done['seconds']:.0f} s")
            outcomes.append(Outcome(stage, done["seconds"], done["peak_memory_mib"], True))
            continue
        marker.unlink(missing_ok=True)
        start = time.perf_counter()
        run_stage(stage)
        seconds, peak = time.perf_counter() - start, peak_memory_mib()
        record = {
            "history": history.hexdigest(), "command": stage.line(), "seconds": seconds,
            "peak_memory_mib": peak,
        }  # fmt: skip
        write_text(marker, json.dumps(record, indent=2))
        outcomes.append(Outcome(stage, seconds, peak, False))
    return outcomes


def run_stage(stage: Stage) -> None:
    """Run one command in this process."""
    if stage.command not in HYDRA_COMMANDS | PLAIN_COMMANDS:
        raise ConfigError(f"stage {stage.name}: there is no command {stage.command!r}")
    main = import_module(f"faceskd.commands.{stage.command}").main
    try:
        if stage.command in PLAIN_COMMANDS:
            status = main(list(stage.overrides))
        else:
            main.task(compose(stage.command, stage.overrides))
            status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else EXIT_SOME_FAILED
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


def _finished(marker: Path, history: str) -> dict[str, Any] | None:
    if not marker.is_file():
        return None
    record = json.loads(marker.read_text())
    return record if record.get("history") == history else None
