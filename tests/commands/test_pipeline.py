"""The quick start: its plan composes, and the whole of it runs on real faces and on drawings."""

import csv
import json
import math
import os
import shutil
from pathlib import Path

import pytest

from faceskd.commands.pipeline import main as pipeline_command
from faceskd.common.arguments import quoted
from faceskd.common.config import compose, to_plain
from faceskd.common.images import read_image
from faceskd.jobs.plan import read_plan

FACES = os.environ.get("FACESKD_FACES")

pytestmark = pytest.mark.filterwarnings("ignore:The number of training batches")


def test_every_job_of_the_config_composes(tmp_path):
    """Also where the folder's name must be quoted."""
    out = tmp_path / "it's a run"
    cfg = compose("pipeline", [f"out={quoted(str(out))}", f"photos={tmp_path}"])
    jobs = read_plan(to_plain(cfg))
    composed = {
        job.name: compose(job.command, job.overrides)
        for job in jobs.values()
        if job.given is None and job.command != "restore"
    }
    assert jobs["portraits"].given == tmp_path
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
        job = cfg.jobs[name]
        common = TRAINING if job.command == "train" else []
        if name == "encoder":
            common = [word for word in common if not word.startswith(("engine", "callbacks.pict"))]
        job.overrides.extend([*common, *overrides])
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


def run_in_part(cfg):
    """Run the pipeline on photos one of which is broken."""
    with pytest.raises(SystemExit) as end:
        pipeline_command.task(cfg)
    assert end.value.code == 1


@pytest.mark.skipif(not FACES, reason="FACESKD_FACES names no folder of photos")
def test_the_whole_pipeline_on_photos(tmp_path, capsys):
    for split, count in {"train": 16, "val": 2, "test": 3}.items():
        (tmp_path / "photos" / split).mkdir(parents=True)
        for photo in sorted(Path(FACES, split).glob("*.jpg"))[:count]:
            shutil.copy(photo, tmp_path / "photos" / split)
    broken = tmp_path / "photos" / "test" / "broken.jpg"
    broken.write_bytes(b"no picture")
    out = tmp_path / "run"
    run_in_part(smaller_pipeline(out, tmp_path / "photos"))
    shown = capsys.readouterr().out
    assert "report:" in shown
    with (out / "faces" / "manifest.csv").open(newline="") as file:
        statuses = {row["source"]: row["status"] for row in csv.DictReader(file)}
    assert statuses["test/broken.jpg"] == "unreadable"
    faces = [s for s, status in statuses.items() if status == "ok" and s.startswith("test/")]
    assert len(faces) >= 2
    check_outputs(out, len(faces))
    report = (out / "report.md").read_text()
    assert "photos of the folder" in report and "Some files failed in `faces`" in report

    run_in_part(smaller_pipeline(out, tmp_path / "photos"))
    assert capsys.readouterr().out.count("done before") == len(SMALLER) - 2  # faces are tried again

    weights = out / "student" / "weights.safetensors"
    shutil.copy(out / "teacher" / "weights.safetensors", weights)
    cfg = smaller_pipeline(out, tmp_path / "photos")
    cfg.only = ["evaluate"]  # other weights: the evaluation of these is done again
    run_in_part(cfg)
    shown = capsys.readouterr().out
    assert shown.count("done before") == 4
    assert "evaluate: done after" in shown


@pytest.mark.slow
def test_the_whole_pipeline_on_portraits(tmp_path):
    pipeline_command.task(smaller_pipeline(tmp_path, None))
    check_outputs(tmp_path, 2)
    assert "synthetic portraits" in (tmp_path / "report.md").read_text()
