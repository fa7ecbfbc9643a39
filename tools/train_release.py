"""Train what comes with the package: the phases of tools/release.yaml, in slices.

    python tools/train_release.py --faces FACES --out runs/release --slice 540

With `--slice SECONDS` a call ends when its time is over, at the next checkpoint, with status 75;
called again, here or on another machine that OUT was copied to, it goes on there. What is done is
not done again. OUT/log.jsonl says what each call did, OUT/<phase>/ holds weights, checkpoints and
learning curves, OUT/<phase>/<split>/ the evaluation, and OUT/summary.md the figures side by side.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from faceskd.common.arguments import quoted
from faceskd.common.config import compose, fail, to_plain
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import make_folder, sha256, write_text
from faceskd.common.machine import git_revision, machine_summary
from faceskd.evaluation.evaluate import BICUBIC
from faceskd.jobs.stages import Stage, UnfinishedError, run_stage
from faceskd.models.weights import read_metadata
from faceskd.reporting.curves import read_curves
from faceskd.reporting.tables import markdown_table

PLAN = Path(__file__).with_name("release.yaml")
MORE_TO_DO = 75
"""EX_TEMPFAIL of sysexits.h: call again."""
LOG, WEIGHTS = "log.jsonl", "weights.safetensors"


@dataclass(frozen=True)
class Plan:
    """What is trained, and how each training is evaluated; a stage is named by its folder."""

    out: Path
    phases: list[Stage]
    evaluations: list[Stage]

    def stages(self) -> list[Stage]:
        """Each phase, followed by its evaluations."""
        return [
            stage
            for phase in self.phases
            for stage in (phase, *(e for e in self.evaluations if _phase(e) == phase.name))
        ]


def read_plan(
    plan: Path | str, *, faces: Path | str, out: Path | str, only: Sequence[str] = ()
) -> Plan:
    """The stages of a plan, `only` those named, or else those that are not optional.

    Raises:
        ConfigError: there is no phase of a name.
    """
    out = Path(out).absolute()
    places = OmegaConf.create({"faces": str(Path(faces).absolute()), "out": str(out)})
    content = to_plain(DictConfig(OmegaConf.merge(OmegaConf.load(plan), places)))
    phases: dict[str, Any] = content["phases"]
    if unknown := sorted(set(only) - set(phases)):
        raise ConfigError(f"no phase {unknown[0]!r}; there are {', '.join(phases)}")
    stages, evaluations = [], []
    for name, phase in phases.items():
        if name not in only if only else phase.get("optional", False):
            continue
        overrides = [*_flat(phase["overrides"])]
        if phase["command"] == "train":
            own = [f"name={name}", f"out={quoted(str(out / name))}"]
            overrides = [overrides[0], *own, *content["shared"], *overrides[1:]]
            splits = content["evaluate"]["splits"]
            evaluations += [_evaluation(name, split, out, content) for split in splits]
        stages.append(Stage(name, phase["command"], tuple(overrides)))
    return Plan(out, stages, evaluations)


def _flat(overrides: Iterable[str | list[str]]) -> Iterator[str]:
    """A list in a list is one that several phases have, by a YAML anchor."""
    for override in overrides:
        yield from [override] if isinstance(override, str) else override


def _evaluation(name: str, split: str, out: Path, content: dict[str, Any]) -> Stage:
    own = [
        f"split={split}",
        f"out={quoted(str(out / name / split))}",
        f"++methods.{name}={quoted(str(out / name / WEIGHTS))}",
        f"device={'cuda' if torch.cuda.is_available() else 'cpu'}",
    ]
    return Stage(f"{name}/{split}", "evaluate", (*own, *content["evaluate"]["overrides"]))


def _phase(stage: Stage) -> str:
    return stage.name.split("/")[0]


def train_release(plan: Plan, *, seconds: float | None = None, console: Console) -> bool:
    """Go on with a plan, for `seconds` where given; one stage or slice is done in any case.

    Returns:
        Whether all of it is done.
    """
    make_folder(plan.out)
    start, busy = time.monotonic(), False
    for stage in plan.stages():
        if is_done(stage, plan.out):
            continue
        left = None if seconds is None else seconds - (time.monotonic() - start)
        if busy and left is not None and left <= 0:
            return False
        run_slice(stage, plan.out, left, console)
        busy = True
        if not is_done(stage, plan.out):
            return False
    write_summary(plan)
    return True


def is_done(stage: Stage, out: Path) -> bool:
    """Whether a training has all its steps, an evaluation is of these weights, a file is there."""
    weights = out / _phase(stage) / WEIGHTS
    if stage.command == "evaluate":
        figures = out / stage.name / "metrics.json"
        return figures.is_file() and _measured(figures) == sha256(weights)
    if not weights.is_file():
        return False
    if stage.command != "train":
        return True
    steps = compose("train", list(stage.overrides)).steps
    return read_metadata(weights).get("steps", 0) >= steps


def _measured(figures: Path) -> str:
    """The SHA-256 of the weights that an evaluation is of."""
    settings = json.loads(figures.read_text(encoding="utf-8"))["settings"]
    return next(iter(settings["weights_sha256"].values()), "")


def run_slice(stage: Stage, out: Path, seconds: float | None, console: Console) -> None:
    """Run a stage, a training for `seconds` only where given, and write down what was done."""
    if stage.command == "train" and seconds is not None:
        limit = time.strftime("00:%H:%M:%S", time.gmtime(max(seconds, 0)))
        stage = Stage(stage.name, stage.command, (*stage.overrides, f"trainer.max_time={limit}"))
    console.print(f"$ {stage.line()}", markup=False, highlight=False, soft_wrap=True)
    start = time.monotonic()
    with suppress(UnfinishedError):
        run_stage(stage)
    entry: dict[str, Any] = {
        "stage": stage.name,
        "command": stage.line(),
        "seconds": round(time.monotonic() - start, 1),
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": machine_summary(),
        "git_revision": git_revision(),
    }
    if stage.command == "train":
        folder = out / stage.name
        entry["steps"] = read_metadata(folder / "checkpoints" / "last.ckpt").get("steps")
        curves = read_curves(folder / "csv")
        entry["latest"] = {name: points[-1][1] for name, points in curves.items()}
    with (out / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")


def write_summary(plan: Plan) -> None:
    """OUT/summary.md: what each phase took, and what came of it."""
    entries = [json.loads(line) for line in (plan.out / LOG).read_text("utf-8").splitlines()]
    rows = []
    for stage in plan.evaluations:
        figures = json.loads((plan.out / stage.name / "metrics.json").read_text("utf-8"))["metrics"]
        spent = sum(entry["seconds"] for entry in entries if entry["stage"] == _phase(stage))
        steps = read_metadata(plan.out / _phase(stage) / WEIGHTS).get("steps")
        own = {"steps": steps, "hours": round(spent / 3600, 2)}
        for method, facts in ((BICUBIC, dict.fromkeys(own)), (_phase(stage), own)):
            rows.append({"faces": stage.name, "method": method, **facts}
                        | figures[method]["values"])  # fmt: skip
    write_text(plan.out / "summary.md", f"# Release\n\n{markdown_table(rows)}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the models that come with the package.")
    parser.add_argument("--faces", required=True, help="folder that `faceskd prepare` wrote")
    parser.add_argument("--out", required=True, help="moves between machines as a whole")
    parser.add_argument("--plan", default=PLAN, help="default: tools/release.yaml")
    parser.add_argument("--slice", type=float, metavar="SECONDS", help="end after this time")
    parser.add_argument("phases", nargs="*", help="only these, optional ones too")
    options = parser.parse_args()
    console = Console(stderr=True)
    try:
        plan = read_plan(options.plan, faces=options.faces, out=options.out, only=options.phases)
        done = train_release(plan, seconds=options.slice, console=console)
    except FaceskdError as error:
        raise fail(error) from None
    if not done:
        console.print("there is more to do: call again")
        raise SystemExit(MORE_TO_DO)


if __name__ == "__main__":
    main()
