"""The release's training: slices that go on, phases in order, what is written down."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
from helpers.tiny_training import QUICK, TINY
from omegaconf import OmegaConf
from rich.console import Console

from faceskd.common.config import compose
from faceskd.common.errors import ConfigError
from faceskd.models.weights import read_metadata

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("train_release", ROOT / "tools/train_release.py")
tool = sys.modules["train_release"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

CONSOLE = Console(quiet=True)


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory):
    """Two tiny trainings, the second from the first's weights, and one that is optional."""
    folder = tmp_path_factory.mktemp("plan")
    train = {"command": "train", "overrides": ["experiment=student_no_kd", *TINY]}
    second = [*train["overrides"], "init=${quoted:${out}/first/weights.safetensors}"]
    plan = {
        "shared": ["data.faces=${quoted:${faces}}", *QUICK[1:], "logger=default"],
        "phases": {
            "first": train,
            "second": {"command": "train", "overrides": second},
            "half": {"optional": True, **train},
        },
        "evaluate": {
            "splits": ["val"],
            "overrides": ["faces=${quoted:${faces}}", "metrics=[psnr]", "groups=null", "show=0"],
        },
    }
    OmegaConf.save(OmegaConf.create(plan), folder / "plan.yaml")
    return folder / "plan.yaml"


@pytest.fixture(scope="module")
def plan(plan_file, prepared_faces):
    return tool.read_plan(plan_file, faces=prepared_faces, out=plan_file.with_name("my out"))


@pytest.fixture(scope="module")
def calls(plan):
    """How many calls it took, each with no time for more than one slice."""
    for number in range(1, 12):
        if tool.train_release(plan, seconds=0, console=CONSOLE):
            return number
    raise AssertionError("it does not end")


def log(plan):
    return [json.loads(line) for line in (plan.out / "log.jsonl").read_text().splitlines()]


def test_slices_go_on_where_the_last_one_ended(plan, calls):
    entries = log(plan)
    assert [entry["stage"] for entry in entries[:6]] == [
        "first", "first", "first/val", "second", "second", "second/val",
    ]  # fmt: skip
    assert [entry["steps"] for entry in entries[:5] if "steps" in entry] == [2, 4, 2, 4]
    assert calls == 6
    assert read_metadata(plan.out / "second/weights.safetensors")["steps"] == 4


def test_what_it_leaves(plan, calls):
    for phase in ("first", "second"):
        assert (plan.out / phase / "curves.png").is_file()
        assert (plan.out / phase / "val/report.md").is_file()
    summary = (plan.out / "summary.md").read_text()
    assert "| first/val | first | 4 |" in summary
    assert "| second/val | bicubic | – |" in summary
    assert "val/psnr" in log(plan)[0]["latest"]


def test_what_is_done_is_not_done_again_and_new_weights_are_evaluated(plan, calls):
    before = log(plan)
    assert tool.train_release(plan, console=CONSOLE)
    assert log(plan) == before
    shutil.copy(plan.out / "first/weights.safetensors", plan.out / "second/weights.safetensors")
    assert tool.train_release(plan, console=CONSOLE)
    assert [entry["stage"] for entry in log(plan)[len(before) :]] == ["second/val"]


def test_optional_phases_are_asked_for(plan, plan_file, prepared_faces, tmp_path):
    assert [stage.name for stage in plan.phases] == ["first", "second"]
    chosen = tool.read_plan(plan_file, faces=prepared_faces, out=tmp_path, only=["half"])
    assert [stage.name for stage in chosen.stages()] == ["half", "half/val"]
    with pytest.raises(ConfigError, match="no phase 'third'; there are first, second, half"):
        tool.read_plan(plan_file, faces=prepared_faces, out=tmp_path, only=["third"])


ENGINES = {
    "Supervised": {"teacher_start", "teacher", "lite_m_start", "lite_s_start", "lite_m_half_start"},
    "Distillation": {"lite_m", "lite_s"},
    "Adversarial": {"teacher_texture", "teacher_finish", "lite_m_texture", "lite_s_texture"},
    "SoftTargets": {
        "lite_m_finish", "teacher_taught", "teacher_softened", "lite_m_taught", "lite_m_refined",
        "lite_s_finish",
    },
}  # fmt: skip


def test_the_plan_of_the_release_composes(tmp_path):
    names = list(OmegaConf.load(tool.PLAN).phases)
    plan = tool.read_plan(tool.PLAN, faces=tmp_path, out=tmp_path, only=names)
    assert [stage.name for stage in plan.phases] == names
    engines = {engine: set() for engine in ENGINES}
    for stage in [*plan.phases, *plan.evaluations]:
        cfg = compose(stage.command, list(stage.overrides))
        if stage.command == "train":
            assert cfg.steps % cfg.data.steps_per_epoch == 0
            assert cfg.data.augment._target_.endswith("Compose")
            assert cfg.data.degradation._target_.endswith("RandomChoice")
            engines[cfg.engine._target_.removeprefix("faceskd.engine.")].add(stage.name)
    assert engines == ENGINES
