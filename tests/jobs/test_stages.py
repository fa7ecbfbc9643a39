"""The pipeline: what is done again and what is not, and the whole of it on real faces."""

import csv
import io
import json
import math
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from faceskd.commands.pipeline import main as pipeline_command
from faceskd.common.arguments import quoted
from faceskd.common.config import compose, to_plain
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.images import read_image
from faceskd.jobs import stages as pipeline
from faceskd.jobs.stages import Stage, read_stages, run_pipeline, run_stage

FACES = os.environ.get("FACESKD_FACES")

pytestmark = pytest.mark.filterwarnings("ignore:The number of training batches")


@pytest.fixture
def commands(monkeypatch):
    """Commands that only write down how they were called; `fail[name]` is how one ends."""
    calls, fail = [], {}

    def fake(module):
        name = module.rsplit(".", 1)[1]

        def plain(arguments):
            calls.append((name, *arguments))
            end = fail.get(name, 0)
            if isinstance(end, BaseException):
                raise end
            return end

        def task(cfg):
            status = plain([f"out={cfg.out}", f"resume={cfg.resume}"])
            if status:
                raise SystemExit(status)

        plain.task = task
        return SimpleNamespace(main=plain)

    monkeypatch.setattr(pipeline, "import_module", fake)
    return SimpleNamespace(calls=calls, fail=fail)


def restore(name, *overrides):
    return Stage(name, "restore", overrides)


def run(stages, out, **options):
    return run_pipeline(stages, out, console=Console(file=io.StringIO()), **options)


def test_what_is_done_is_not_done_again(commands, tmp_path):
    stages = [restore("a", "1"), restore("b", "2")]
    first = run(stages, tmp_path)
    again = run(stages, tmp_path)
    assert commands.calls == [("restore", "1"), ("restore", "2")]
    assert [outcome.cached for outcome in first] == [False, False]
    assert [outcome.cached for outcome in again] == [True, True]
    assert [o.seconds for o in again] == [o.seconds for o in first]


def test_a_change_is_carried_to_all_that_follow(commands, tmp_path):
    run([restore("a", "1"), restore("b", "2"), restore("c", "3")], tmp_path)
    commands.calls.clear()
    run([restore("a", "1"), restore("b", "changed"), restore("c", "3")], tmp_path)
    assert commands.calls == [("restore", "changed"), ("restore", "3")]


def test_restart_does_everything_again(commands, tmp_path):
    stages = [restore("a", "1"), restore("b", "2")]
    run(stages, tmp_path)
    run(stages, tmp_path, restart=True)
    assert len(commands.calls) == 4


def test_a_failure_keeps_what_came_before(commands, tmp_path):
    stages = [restore("a", "1"), Stage("b", "train", ("out=x",)), restore("c", "3")]
    commands.fail["train"] = FaceskdError("no faces")
    with pytest.raises(FaceskdError, match="no faces"):
        run(stages, tmp_path)
    commands.fail.clear()
    commands.calls.clear()
    run(stages, tmp_path)
    assert [call[0] for call in commands.calls] == ["train", "restore"]


def test_a_broken_off_training_goes_on_but_a_changed_one_begins_anew(commands, tmp_path):
    """Else a teacher would go on with weights that were trained on another dictionary."""

    def resumed(*stages, **options):
        commands.calls.clear()
        run(stages, tmp_path, **options)
        return [call[2] for call in commands.calls]

    before, training = restore("a", "1"), Stage("b", "train", ("out=x",))
    commands.fail["train"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run([before, training], tmp_path)
    commands.fail.clear()
    assert resumed(before, training) == ["resume=True"]
    assert resumed(before, training) == []
    commands.calls.clear()
    run([restore("a", "other"), training], tmp_path)
    assert commands.calls[1] == ("train", "out=x", "resume=False")
    assert resumed(training, restart=True) == ["resume=False"]


@pytest.mark.parametrize("status", [0, 1])
def test_some_failed_files_are_no_failure(commands, status):
    commands.fail["restore"] = status
    run_stage(restore("a"))


@pytest.mark.parametrize("status", [2, 3, "a message"])
def test_other_statuses_are(commands, status):
    commands.fail["train"] = status
    with pytest.raises(FaceskdError, match=f"the stage b failed with status {status}"):
        run_stage(Stage("b", "train", ("out=x",)))


def test_a_stage_without_command():
    with pytest.raises(ConfigError, match="stage x: there is no command 'paint'"):
        run_stage(Stage("x", "paint", ()))


def test_trainings_get_what_they_share():
    configs = {
        "draw": {"command": "portraits", "overrides": ["count=1"]},
        "teacher": {"command": "train", "overrides": ["experiment=teacher", "steps=5"]},
    }
    shared = ["data.workers=0"]
    (only,) = read_stages(configs, shared, skip=("draw",))
    assert only.overrides == ("experiment=teacher", "name=teacher", "data.workers=0", "steps=5")
    assert only.line() == "faceskd train experiment=teacher name=teacher data.workers=0 steps=5"
    assert [stage.name for stage in read_stages(configs, shared)] == ["draw", "teacher"]


def test_every_stage_of_the_config_composes(tmp_path):
    """Also where the folder's name must be quoted."""
    out = tmp_path / "it's a run"
    cfg = compose("pipeline", [f"out={quoted(str(out))}", f"photos={tmp_path}"])
    cfg = to_plain(cfg)
    composed = {
        stage.name: compose(stage.command, stage.overrides)
        for stage in read_stages(cfg["stages"], cfg["training"])
        if stage.command != "restore"
    }
    assert composed["faces"].dst == composed["teacher"].data.faces == f"{out}/faces"
    assert composed["profile"].models[1] == f"{out}/teacher/weights.safetensors"


# All of it.

SMALLER = {
    "portraits": ["count=24", "processes=1"],
    "faces": ["processes=1"],
    "encoder": ["steps=2", "data.batch_size=2"],
    "dictionary": ["atoms=8", "initialisations=1", "passes=1", "iterations=2"],
    "teacher": ["steps=2", "engine.adversarial_start=1"],
    "student": ["steps=2"],
    "evaluate": ["metrics=[psnr,ssim,lpips_squeeze,grid_index]", "batch_size=2", "show=2"],
    "profile": ["repeats=1", "warmup=0", "memory=false", "ceiling=false"],
    "export": [],
    "restore": [],
}
TRAINING = [
    "data.steps_per_epoch=1",
    "data.batch_size=2",
    "data.val_limit=1",
    "engine.metrics=[psnr]",
    "callbacks.pictures.faces=1",
    "callbacks.progress=null",
    "+trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
    "threads=1",
]


def smaller_pipeline(out, photos):
    cfg = compose("pipeline", [f"out={out}", f"photos={photos or 'null'}"])
    for name, overrides in SMALLER.items():
        stage = cfg.stages[name]
        common = TRAINING if stage.command == "train" else []
        if name == "encoder":
            common = [word for word in common if not word.startswith(("engine", "callbacks.pict"))]
        stage.overrides.extend([*common, *overrides])
    return cfg


def check_outputs(out, test_faces):
    measured = json.loads((out / "evaluate" / "metrics.json").read_text())["metrics"]
    assert {"bicubic", "teacher", "student"} <= set(measured)
    for method in ("bicubic", "teacher", "student"):
        values = measured[method]["values"]
        assert {"psnr", "ssim", "grid_index"} <= set(values)
        assert all(math.isfinite(value) for value in values.values()), (method, values)
    assert 15 < measured["bicubic"]["values"]["psnr"] < 40
    rows = json.loads((out / "profile" / "profile.json").read_text())["rows"]
    assert all(row["latency_ms"] > 0 and row["macs"] >= 0 for row in rows)
    for name in ("encoder", "teacher", "student"):
        assert (out / name / "weights.safetensors").is_file()
    report = (out / "report.md").read_text()
    links = [part.split(")")[0] for part in report.split("](")[1:]]
    assert links
    missing = [link for link in links if not (out / link).is_file()]
    assert not missing
    assert "nan" not in report.lower().split()
    restored = sorted((out / "restored").rglob("*.png"))
    assert len(restored) == test_faces
    assert read_image(restored[0]).shape == (256, 256, 3)
    assert (out / "student.onnx").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.skipif(not FACES, reason="FACESKD_FACES names no folder of photos")
def test_the_whole_pipeline_on_photos(tmp_path, capsys):
    for split, count in {"train": 16, "val": 2, "test": 3}.items():
        (tmp_path / "photos" / split).mkdir(parents=True)
        for photo in sorted(Path(FACES, split).glob("*.jpg"))[:count]:
            shutil.copy(photo, tmp_path / "photos" / split)
    broken = tmp_path / "photos" / "test" / "broken.jpg"
    broken.write_bytes(b"no picture")
    out = tmp_path / "run"
    pipeline_command.task(smaller_pipeline(out, tmp_path / "photos"))
    shown = capsys.readouterr().out
    assert "report:" in shown
    with (out / "faces" / "manifest.csv").open(newline="") as file:
        statuses = {row["source"]: row["status"] for row in csv.DictReader(file)}
    assert statuses["test/broken.jpg"] == "unreadable"
    faces = [s for s, status in statuses.items() if status == "ok" and s.startswith("test/")]
    assert len(faces) >= 2
    check_outputs(out, len(faces))
    assert "photos of the folder" in (out / "report.md").read_text()

    pipeline_command.task(smaller_pipeline(out, tmp_path / "photos"))
    assert capsys.readouterr().out.count("done before") == len(SMALLER) - 1


@pytest.mark.slow
def test_the_whole_pipeline_on_portraits(tmp_path):
    pipeline_command.task(smaller_pipeline(tmp_path, None))
    check_outputs(tmp_path, 2)
    assert "synthetic portraits" in (tmp_path / "report.md").read_text()
