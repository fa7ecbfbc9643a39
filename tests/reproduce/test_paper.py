"""`faceskd reproduce` at toy size: every kind of training, the tables, and resuming."""

import csv
import json
import math
import subprocess
import sys

import pytest
from helpers.tiny_reproduction import make_tiny

from faceskd.commands.reproduce import main as reproduce_command
from faceskd.common.config import compose
from faceskd.common.images import read_image

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The number of training batches"),
]

KEPT = {
    "encoder", "dictionary", "dictionary_random", "srresnet", "srgan_start", "srgan",
    "srfeat_start", "srfeat", "teacher", "teacher_random", "student_no_kd", "student_mskd",
    "student_no_adversarial", "student_no_feature", "lite_mskd", "plain",
}  # fmt: skip
TRAINING = ["data.val_limit=1", "logger=none"]
BUDGET = {"double": 2, "encoder_steps": 1}


def toy(out, faces, *overrides):
    """The config of a plan with a few steps of a few networks."""
    cfg = compose("reproduce", [f"out={out}", f"faces={faces}", f"second={faces}", *overrides])
    for name in cfg.jobs:
        if name not in {*KEPT, "faces", "second"}:  # these are given
            cfg.jobs[name] = None
        elif cfg.jobs[name].command == "train" and name != "encoder":
            cfg.jobs[name].overrides.append("engine.metrics=[psnr]")
        elif name == "dictionary":
            cfg.jobs[name].overrides.extend(["passes=1", "iterations=1", "initialisations=1"])
    make_tiny(cfg, BUDGET, TRAINING)
    cfg.seeds = {"plain": 2}
    return cfg


def test_the_whole_plan(prepared_faces, tmp_path, capsys):
    cfg = toy(tmp_path, prepared_faces)
    cfg.jobs.srgan.overrides.append("engine.adversarial_weight=high")  # one method fails
    with pytest.raises(SystemExit) as end:
        reproduce_command.task(cfg)
    assert end.value.code == 1
    assert "srgan: failed: " in capsys.readouterr().out
    record = json.loads((tmp_path / "results.json").read_text())
    assert set(record["failures"]) == {"srgan"}
    assert (tmp_path / "jobs" / "srgan.error.txt").is_file()

    methods = record["evaluations"]["methods"]["metrics"]
    assert {"bicubic", "nearest", "srfeat", "teacher", "student_mskd", "plain"} <= set(methods)
    assert "srgan" not in methods
    values = [v for content in methods.values() for v in content["values"].values()]
    assert all(math.isfinite(value) for value in values)
    compared = {(c["first"], c["second"]) for c in record["comparisons"]}
    trainings = {c["second"]: c["paired"]["trainings"] for c in record["comparisons"]}
    assert trainings["plain"] == [1, 2]
    assert trainings["teacher"] == [1, 1]
    assert methods["plain"]["values"] != methods["plain_seed1"]["values"]
    assert {("student_mskd", "teacher"), ("student_mskd", "student_no_kd")} <= compared
    with (tmp_path / "table_second.csv").open(newline="") as file:
        rows = [row["method"] for row in csv.DictReader(file)]
    assert {"teacher", "lanczos", "plain"} <= set(rows)
    assert "plain_seed1" not in rows  # it is in the mean of `plain`
    assert {row["model"] for row in record["costs"]} >= {"teacher@bf16", "bicubic@bf16"}
    assert record["landmarks"]["faces"] == 4
    assert read_image(tmp_path / "landmarks" / "landmarks.png").ndim == 3

    report = (tmp_path / "results.md").read_text()
    links = [part.split(")")[0] for part in report.split("](")[1:]]
    assert [link for link in links if not (tmp_path / link).is_file()] == []
    assert "nan" not in report.lower().split()
    assert "student_mskd is " in report
    assert "Each training of the methods that have several seeds" in report
    assert "plain_seed1" in record["commands"]
    assert "seed=1" in record["commands"]["plain_seed1"]

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/weights.safetensors")}
    reproduce_command.task(toy(tmp_path, prepared_faces))  # mended: only what is missing is run
    shown = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    untouched = ["clean", "degradation", "distillation", "dictionary"]  # tables without srgan
    trained = len(KEPT) - 1 + len(["plain_seed1"])  # all but the one that had failed
    assert shown.count("done before") == trained + len([*untouched, "profile"])
    record = json.loads((tmp_path / "results.json").read_text())
    assert record["failures"] == {}
    assert "srgan" in record["evaluations"]["methods"]["metrics"]


def test_one_job_alone(prepared_faces, tmp_path):
    """As a launcher starts it: with what it needs, and without tables."""
    reproduce_command.task(toy(tmp_path, prepared_faces, "only=plain"))
    done = sorted(path.stem for path in (tmp_path / "jobs").glob("*.json"))
    assert done == ["encoder", "plain"]
    assert not (tmp_path / "results.md").exists()


def test_one_job_a_process_by_a_launcher(tmp_path):
    """submitit's local executor stands in for SLURM."""
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="the extra slurm")
    line = [
        sys.executable, "-m", "faceskd", "reproduce", "-m", "only=portraits,second_portraits",
        "hydra/launcher=submitit_local", "photos=null", "budget.portraits=2", "budget.second=2",
        f"out={tmp_path}",
    ]  # fmt: skip
    subprocess.run(line, check=True, timeout=300)
    for name in ("portraits", "second_portraits"):
        assert json.loads((tmp_path / "jobs" / f"{name}.json").read_text())["done"]
        assert len(list((tmp_path / name).rglob("*.png"))) == 2
