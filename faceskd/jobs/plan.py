"""Read a plan from a config: jobs in an order in which each comes after the jobs it needs.

A job in a config:

    NAME:
      command: train           # of faceskd
      needs: [faces, encoder]  # jobs that must be done first
      uses: [pixel]            # names of lists of overrides that several jobs share
      overrides: [steps=200]   # its own overrides, which come last
      given: null              # a path: the product exists already, so nothing is run
"""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from faceskd.common.arguments import quoted
from faceskd.common.checks import check_choices
from faceskd.common.errors import ConfigError

WEIGHTS = "weights.safetensors"
KEYS = ("command", "needs", "uses", "overrides", "given")
Options = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """A command of faceskd, and the names of the jobs that it needs.

    Attributes:
        name: name of the job, of its marker, and of the folder of a training.
        command: command, such as "train".
        overrides: arguments of the command.
        needs: names of other jobs.
        given: existing file or folder that is used instead of running the command.
    """

    name: str
    command: str
    overrides: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    given: Path | None = None

    def line(self, *more: str) -> str:
        """The command line, as a user would type it."""
        return shlex.join(["faceskd", *self.command.split(), *self.overrides, *more])

    @property
    def output(self) -> Path | None:
        """The file or folder that the command writes, if an option names it."""
        for option, value in zip(self.overrides, self.overrides[1:], strict=False):
            if option in ("-o", "--output"):
                return Path(value)
        named = [text for text in self.overrides if text.startswith(("out=", "dst="))]
        if not named:
            return None
        return Path(str(OverridesParser.create().parse_override(named[-1]).value()))

    @property
    def product(self) -> Path | None:
        """The output that other jobs use: the weights of a training, else the whole output."""
        trained = self.output is not None and self.command == "train"
        return self.output / WEIGHTS if trained else self.output  # type: ignore[operator]


def read_jobs(
    configs: Mapping[str, Options | None], shared: Mapping[str, Sequence[str]], out: Path | str
) -> dict[str, Job]:
    """The jobs of a config, each after the jobs that it needs.

    A `train` job also gets the overrides `shared["train"]`, its name, and the folder
    `<out>/<name>`. Jobs that are null are left out; no other job waits for them.

    Args:
        configs: name -> config, as shown at the top of this module.
        shared: lists of overrides, which `uses` names.
        out: folder of the plan.

    Raises:
        ConfigError: a config has an unknown key, a given path does not exist, a job needs a job
            that does not exist, or jobs need each other.
    """
    wanted = {name: config for name, config in configs.items() if config is not None}
    jobs = {}
    for name, config in wanted.items():
        needs = list(config.get("needs") or ())
        if unknown := sorted(set(config) - set(KEYS)):
            raise ConfigError(f"the job {name} has {unknown[0]!r}: expected {', '.join(KEYS)}")
        if unknown := sorted(set(needs) - set(configs)):
            raise ConfigError(f"the job {name} needs {unknown[0]!r}: there is no such job")
        if (given := config.get("given")) is not None:
            jobs[name] = Job(name, str(config["command"]), given=_existing(name, given))
            continue
        overrides = _overrides(name, config, shared, Path(out))
        needs = [need for need in needs if need in wanted]
        jobs[name] = Job(name, str(config["command"]), overrides, tuple(needs))
    return select_jobs(jobs, jobs)


def given_jobs(paths: Mapping[str, Path | str]) -> dict[str, Options]:
    """Configs of jobs that run nothing: what is at these paths counts by its content."""
    return {name: {"command": "given", "given": str(path)} for name, path in paths.items()}


def select_jobs(jobs: Mapping[str, Job], only: Collection[str]) -> dict[str, Job]:
    """The jobs of these names and the jobs they need, each after the jobs it needs.

    What is given comes first: it runs nothing, and jobs may read it without needing it.

    Raises:
        ConfigError: there is no such job, or jobs need each other.
    """
    check_choices(jobs, jobs=only)
    try:
        TopologicalSorter({name: job.needs for name, job in jobs.items()}).prepare()
    except CycleError as error:
        raise ConfigError(f"jobs need each other: {' -> '.join(error.args[1])}") from None
    selected: dict[str, Job] = {}

    def add(name: str) -> None:
        if name not in selected:
            for need in jobs[name].needs:
                add(need)
            selected[name] = jobs[name]

    for name in (*(name for name, job in jobs.items() if job.given is not None), *only):
        add(name)
    return selected


def read_plan(options: Options) -> dict[str, Job]:
    """The jobs in the config of a plan (`jobs`, `shared`, `out`), or only those of `only`.

    The lists in `more` are appended to the lists in `shared` with the same names.
    """
    more = options.get("more") or {}
    if unknown := sorted(set(more) - set(options["shared"])):
        raise ConfigError(f"more has {unknown[0]!r}: expected {', '.join(options['shared'])}")
    shared = {name: [*own, *more.get(name, ())] for name, own in options["shared"].items()}
    jobs = read_jobs(options["jobs"], shared, options["out"])
    only = options["only"]
    if only is None:
        return jobs
    return select_jobs(jobs, [only] if isinstance(only, str) else only)


def weights_of(name: str, out: Path | str) -> Path:
    """The weights file of the `train` job with this name."""
    return Path(out) / name / WEIGHTS


def _existing(name: str, given: str) -> Path:
    if not Path(given).exists():
        raise ConfigError(f"expected a file or folder for {name} at {given!r}, found none")
    return Path(given)


def _overrides(
    name: str, config: Options, shared: Mapping[str, Sequence[str]], out: Path
) -> tuple[str, ...]:
    own = [str(override) for override in config.get("overrides") or ()]
    uses = list(config.get("uses") or ())
    if config["command"] == "train":
        own += [f"name={name}", f"out={quoted(str(out / name))}"]
        uses = ["train", *uses]
    if unknown := sorted(set(uses) - set(shared)):
        raise ConfigError(f"the job {name} uses {unknown[0]!r}: expected {', '.join(shared)}")
    return (*(str(override) for key in uses for override in shared[key]), *own)
