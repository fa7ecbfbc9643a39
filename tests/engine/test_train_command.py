"""`faceskd train`: refusals, sweeps, and two processes that train one network."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from helpers.tiny_training import MSKD, QUICK, TINY, finished, train_here
from omegaconf import OmegaConf
from torch import nn

from faceskd.models.weights import load_network, read_metadata


def test_an_unknown_key_is_hydras_error(words):
    status, output = train_here(*words("modle=student_tiny"))
    assert status == 2
    assert "modle" in output
    assert "Traceback" not in output


def without_out(words):
    return [word for word in words if not word.startswith(("out=", "name="))]


def printed_sweep():
    """The sweep that the documentation prints, word by word."""
    root = Path(__file__).parents[2]
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages).replace("\\\n", " ")
    (line,) = re.findall(r"^faceskd train (-m .+)$", text, re.M)
    return shlex.split(line)


@pytest.mark.slow
def test_the_printed_sweep_runs_as_it_is_printed(materials, prepared_faces, tmp_path, monkeypatch):
    """Case 15: `HydraConfig was not set`. Further overrides only make it smaller."""
    printed = printed_sweep()
    given = {"FACES": prepared_faces, "TEACHER": materials / "teacher.safetensors"}
    for name, path in given.items():
        assert any(word.endswith(f"={name}") for word in printed)
        printed = [re.sub(rf"={name}$", f"={path}", word) for word in printed]
    smaller = [word for word in (*QUICK, *TINY) if not word.startswith("name=")]
    line = [*printed, *smaller, "steps=1", "engine.discriminator_width=2"]
    monkeypatch.chdir(tmp_path)
    status, output = train_here(*line)
    assert status == 0, output
    files = sorted(tmp_path.glob("runs/sweep-student_mskd/*/weights.safetensors"))
    assert len(files) == 4
    assert {read_metadata(path)["name"] for path in files} == {"student_mskd"}
    records = [OmegaConf.load(path.with_name("config.yaml")) for path in files]
    assert sorted(record.config.engine.levels[0] for record in records) == [0, 1, 2, 3]


def test_a_sweep_may_have_a_name_of_its_own(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = without_out(words("experiment=student_no_kd", "steps=1", "seed=0,1"))
    status, output = train_here("-m", *line, "name=mine", "optimized_metric=val/pnsr")
    assert status == 0, output
    assert "expected optimized_metric as one of val/psnr, got val/pnsr" in output
    files = tmp_path.glob("runs/sweep-mine/*/weights.safetensors")
    assert sorted(read_metadata(path)["seed"] for path in files) == [0, 1]


def test_a_sweep_of_several_processes_is_refused(words, tmp_path):
    line = without_out(words("experiment=student_no_kd", "seed=0,1", "trainer.devices=2"))
    status, output = train_here("-m", *line, f"hydra.sweep.dir={tmp_path}/sweep")
    assert status == 2
    assert "error: a multirun sweep trains one job after another in one process" in output
    assert "expected trainer.devices=1, got 2" in output
    assert "Traceback" not in output
    assert not list(tmp_path.rglob("weights.safetensors"))


class Checksums(pl.Callback):
    """Each process writes down its weights at the end: what they are, and what it has seen."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.seen = []

    def on_train_batch_end(self, trainer, engine, outputs, batch, index):
        self.seen += batch["name"]

    def on_train_end(self, trainer, engine):
        sums = {name: value.double().sum().item() for name, value in engine.named_parameters()}
        path = self.folder / f"rank-{trainer.global_rank}.json"
        path.write_text(json.dumps({"weights": sums, "faces": self.seen}))


@pytest.mark.slow
def test_two_processes_train_one_network(words, tmp_path):
    line = words(
        *MSKD, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "steps=6",
        "data.batch_size=1", "+callbacks.sums._target_=test_train_command.Checksums",
        f"+callbacks.sums.folder={tmp_path}",
    )  # fmt: skip
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
    ]
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(
        [*torchrun, "-m", "faceskd.commands.train", *line],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip
    status, output = finished(process)
    assert status == 0, output
    ranks = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    seen = [*ranks[0]["faces"], *ranks[1]["faces"]]
    assert len(seen) == len(set(seen)) == 12  # of 24 faces, none twice
    assert [path.name for path in tmp_path.rglob("weights.safetensors")] == ["weights.safetensors"]
    network = load_network(tmp_path / "run" / "weights.safetensors")
    assert isinstance(network, nn.Module)
    assert np.isfinite(network(torch.rand(1, 3, 32, 32)).detach().numpy()).all()
