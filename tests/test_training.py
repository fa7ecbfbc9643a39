"""Whole trainings, tiny: resumed as if never broken off, swept, refused, run in two processes."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import hydra
import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from safetensors.torch import load_file
from torch import nn

from faceskd.config import compose, compose_model, conf_dir
from faceskd.curves import plot_curves, read_curves
from faceskd.dictionary import Dictionary
from faceskd.engine import Adversarial, Autoencoder, Distillation, Supervised
from faceskd.errors import FaceskdError, MissingExtraError, WeightsError
from faceskd.images import read_image
from faceskd.models import VGG19
from faceskd.models.vgg_weights import save_vgg_weights
from faceskd.training import build_engine, build_trainer, train, warm_start
from faceskd.weights import build_network, load_network, read_metadata, save_network

pytestmark = pytest.mark.filterwarnings(
    "ignore:The number of training batches",
    "ignore:Found .* in eval mode",
    "ignore:The dataloader, .* does not have many workers",
    "ignore:Checkpoint directory .* exists",
)

TINY = (
    "model=student_tiny",
    "model.encoder.width=2",
    "losses=pixel",
    "engine.metrics=[psnr]",
    "engine.average_decay=0.9",
)
QUICK = (
    "name=test",
    "steps=4",
    "data.steps_per_epoch=2",
    "data.batch_size=2",
    "data.val_limit=1",
    "data.workers=0",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "+trainer.enable_progress_bar=false",
    "callbacks.pictures=null",
    "callbacks.progress=null",
    "logger=none",
    "threads=1",
)
MSKD = ("experiment=student_mskd", "engine.discriminator_width=2")


@pytest.fixture(scope="session")
def materials(tmp_path_factory):
    """An encoder, a dictionary of its own and a teacher, all of width 2, on disk."""
    folder = tmp_path_factory.mktemp("materials")
    torch.manual_seed(0)
    encoder = VGG19(width=2)
    save_vgg_weights(encoder, folder / "encoder.safetensors")
    atoms = Dictionary.random(encoder.taps, encoder.feature_info, atoms=3)
    Dictionary(atoms.atoms, encoder.fingerprint()).save(folder / "dictionary.safetensors")
    overrides = [
        "encoder.width=2",
        f"encoder.weights={folder}/encoder.safetensors",
        f"dictionary={folder}/dictionary.safetensors",
    ]
    config = compose_model("teacher_tiny", overrides)
    save_network(folder / "teacher.safetensors", build_network(config), config)
    return folder


@pytest.fixture
def words(prepared_faces, materials, tmp_path):
    """The command line of a training in `tmp_path/<out>`."""

    def build(*overrides, out="run"):
        line = list(QUICK)
        if not any(
            word.startswith(("experiment=encoder", "experiment=teacher")) for word in overrides
        ):
            line += TINY
        if any(
            word.startswith(("experiment=student_mskd", "experiment=student_sskd"))
            for word in overrides
        ):
            line.append(f"engine.teacher={materials}/teacher.safetensors")
        return [*line, f"data.faces={prepared_faces}", f"out={tmp_path / out}", *overrides]

    return build


@pytest.fixture
def run(words):
    """Train in this process."""

    def start(*overrides, out="run"):
        return train(compose("train", words(*overrides, out=out)))

    return start


def command(*arguments, **options):
    line = [sys.executable, "-m", "faceskd.commands.train", *arguments]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def finished(process):
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def checkpoint(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)


def assert_same(first, second, where="checkpoint"):
    """Every value of two nested states is the same, bit for bit."""
    assert type(first) is type(second), where
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), where
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    else:
        assert first == second, where


def assert_same_training(first, second):
    first, second = checkpoint(first), checkpoint(second)
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "random_state", "loops"):
        assert_same(first[part], second[part], part)


# Resuming.


def kill_after_first_checkpoint(arguments, folder):
    process = command(*arguments)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoints" / "last.ckpt").is_file():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_killed_distillation_goes_on_as_if_it_had_not_been(run, words, tmp_path):
    """Weights, averages, both optimisers, schedulers, random numbers: all equal bit for bit."""
    options = (*MSKD, "steps=16", "data.batch_size=1")
    run(*options, out="whole")
    kill_after_first_checkpoint(words(*options, out="killed"), tmp_path / "killed")
    assert int(checkpoint(tmp_path / "killed")["state_dict"]["steps"]) < 16
    run(*options, out="killed")
    assert_same_training(tmp_path / "whole", tmp_path / "killed")
    assert len(checkpoint(tmp_path / "whole")["optimizer_states"]) == 2
    weights = [load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "killed")]
    assert_same(*weights)


@pytest.mark.parametrize(
    "options",
    [
        ("experiment=student_no_kd",),
        ("experiment=student_no_kd", "data.workers=1"),
        ("experiment=encoder", "engine.encoder.width=2", "engine.crop=64"),
        ("experiment=encoder", "engine.encoder.width=2", "engine.crop=64", "data.workers=1"),
    ],
    ids=["supervised", "supervised-1-worker", "autoencoder", "autoencoder-1-worker"],
)
def test_a_training_in_slices_is_the_whole_one(run, options, tmp_path):
    options = (*options, "steps=6", "scheduler@engine.scheduler=cosine")
    run(*options, out="whole")
    for _ in range(3):  # the time is up after each chunk
        run(*options, "trainer.max_time=00:00:00:00", out="sliced")
    assert_same_training(tmp_path / "whole", tmp_path / "sliced")


def test_a_slice_ends_with_a_chunk_and_saves_weights(run, tmp_path):
    trained = run("experiment=student_no_kd", "steps=6", "trainer.max_time=00:00:00:00")
    assert checkpoint(tmp_path / "run")["hyper_parameters"]["metadata"]["steps"] == 2
    assert trained.weights.is_file()


def test_a_finished_training_is_not_trained_again(run, tmp_path):
    run("experiment=student_no_kd")
    before = checkpoint(tmp_path / "run")
    run("experiment=student_no_kd")
    assert_same(before["state_dict"], checkpoint(tmp_path / "run")["state_dict"])


def test_resume_false_starts_anew(run, tmp_path):
    run("experiment=student_no_kd", "logger=default")
    first = checkpoint(tmp_path / "run")
    run("experiment=student_no_kd", "logger=default", "seed=1", "resume=false")
    again = checkpoint(tmp_path / "run")
    assert int(again["state_dict"]["steps"]) == 4
    name = "network.decoder.head.0.bias"
    assert not torch.equal(first["state_dict"][name], again["state_dict"][name])
    assert len(list((tmp_path / "run" / "csv").iterdir())) == 1


def test_a_training_repeats_itself(run, tmp_path):
    for name in ("one", "two"):
        run("experiment=student_no_kd", out=name)
    assert_same_training(tmp_path / "one", tmp_path / "two")


def test_a_checkpoint_of_another_width_is_refused(run):
    run("experiment=student_no_kd")
    with pytest.raises(WeightsError, match=r"another training .*tensors differ"):
        run("experiment=student_no_kd", "model.encoder.width=3")


# What a training leaves behind.


def test_a_training_leaves_weights_logs_curves_and_pictures(run, tmp_path):
    out = tmp_path / "run"
    trained = run(
        "experiment=student_no_kd",
        "logger=default",
        "trainer.log_every_n_steps=1",
        "callbacks.pictures={_target_:faceskd.engine.callbacks.PictureGrid}",
        f"+callbacks.pictures.folder={out}/pictures",
    )
    assert trained.weights == out / "weights.safetensors"
    assert trained.checkpoint.is_file()
    assert math.isfinite(trained.metrics["val/psnr"])
    network = load_network(trained.weights)
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 3, 256, 256)
    metadata = read_metadata(trained.weights)
    assert metadata["steps"] == 4
    assert metadata["faces"] == 24
    curves = read_curves(out / "csv")
    assert [step for step, _ in curves["train/loss"]] == [0, 1, 2, 3]
    assert len(curves["val/psnr"]) == 2
    assert read_image(out / "curves.png").std() > 0
    assert len(list((out / "pictures").glob("*.png"))) == 2
    assert list((out / "tensorboard").rglob("events.*"))


def test_exported_weights_are_the_averaged_ones(run, tmp_path):
    run("experiment=student_no_kd")
    state = checkpoint(tmp_path / "run")["state_dict"]
    weights = load_file(tmp_path / "run" / "weights.safetensors")
    averages = {k[8:].replace("/", "."): v for k, v in state.items() if k.startswith("average.")}
    averages.pop("step")
    assert averages
    for name, value in averages.items():
        assert torch.equal(weights[name], value), name
    assert any(not torch.equal(weights[n], state[f"network.{n}"]) for n in averages)


def test_curves_join_the_runs_of_a_training(tmp_path):
    rows = {
        0: [(0, 5.0, ""), (1, 4.0, ""), (1, "", 20.0), (2, 9.9, "")],
        1: [(2, 3.0, ""), (3, 2.0, ""), (3, "", 21.0)],
        10: [(4, 1.0, "")],
    }
    for version, lines in rows.items():
        folder = tmp_path / f"version_{version}"
        folder.mkdir()
        with (folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", "step", "train/loss", "val/psnr"])
            writer.writerows([0, *line] for line in lines)
    curves = read_curves(tmp_path)
    assert curves["train/loss"] == [(0, 5.0), (1, 4.0), (2, 3.0), (3, 2.0), (4, 1.0)]
    assert curves["val/psnr"] == [(1, 20.0), (3, 21.0)]
    assert plot_curves(tmp_path, tmp_path / "curves.png")


def test_nothing_logged_draws_nothing(tmp_path):
    assert not plot_curves(tmp_path, tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


def test_the_autoencoder_writes_an_encoder(run):
    trained = run("experiment=encoder", "engine.encoder.width=2", "engine.crop=64")
    encoder = VGG19(width=2, weights=trained.weights)
    fresh = VGG19(width=2, weights=trained.weights)
    assert encoder.fingerprint() == fresh.fingerprint()
    assert math.isfinite(trained.metrics["val/psnr_conv5_4"])


def test_a_teacher_is_trained_and_loaded_with_its_dictionary(run, materials):
    trained = run(
        "experiment=teacher", "model=teacher_tiny", "model.encoder.width=2", "losses=pixel",
        f"model.encoder.weights={materials}/encoder.safetensors",
        f"model.dictionary={materials}/dictionary.safetensors",
        "engine.metrics=[psnr]", "engine.discriminator.width=2",
    )  # fmt: skip
    for path in (trained.weights, trained.checkpoint):
        teacher = load_network(path, materials / "dictionary.safetensors")
        assert teacher.dictionary_sha256
    assert load_network(trained.weights).dictionary_sha256


def test_warm_start_takes_what_fits(words, materials):
    cfg = compose("train", words(f"init={materials}/teacher.safetensors"))
    engine, teacher = (
        build_engine(cfg),
        load_network(materials / "teacher.safetensors").state_dict(),
    )
    student = engine.network.state_dict()
    assert all(torch.equal(student[key], teacher[key]) for key in student)
    with pytest.raises(WeightsError, match=r"no tensor in .* fits"):
        warm_start(build_network(compose_model("bicubic")), materials / "teacher.safetensors")


# Configs.

EXPERIMENTS = {
    "encoder": Autoencoder,
    "teacher": Adversarial,
    "student_mskd": Distillation,
    "student_sskd": Distillation,
    "student_no_kd": Supervised,
}


def test_every_experiment_is_known_here():
    files = {path.stem for path in (conf_dir() / "experiment").glob("*.yaml")}
    assert files == set(EXPERIMENTS)


@pytest.mark.parametrize(("experiment", "engine"), EXPERIMENTS.items())
def test_every_experiment_builds(experiment, engine, materials, monkeypatch):
    monkeypatch.delenv("FACESKD_WEIGHTS", raising=False)
    overrides = [f"experiment={experiment}", "name=test", "out=out"]
    if experiment.startswith("student") and experiment != "student_no_kd":
        overrides.append(f"engine.teacher={materials}/teacher.safetensors")
    built = build_engine(compose("train", overrides))
    assert type(built) is engine
    if isinstance(built, Distillation):
        assert built.distillation.scales == ((3,) if experiment == "student_sskd" else (0, 1, 2, 3))


@pytest.mark.parametrize("losses", ["pixel", "balanced", "own_encoder", "paper"])
def test_every_sum_of_losses_builds(losses, words):
    built = build_engine(compose("train", words(f"losses={losses}")))
    total, parts = built.losses(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
    assert total > 0
    assert len(parts) == (1 if losses == "pixel" else 2)


def test_loggers_that_are_not_installed_are_named(words, monkeypatch):
    from pytorch_lightning.loggers import mlflow, wandb

    for module, flag in ((wandb, "_WANDB_AVAILABLE"), (mlflow, "_MLFLOW_AVAILABLE")):
        monkeypatch.setattr(module, flag, False)
    for name in ("wandb", "mlflow"):
        cfg = compose("train", words(f"logger={name}"))
        assert cfg.logger[name].tracking_uri if name == "mlflow" else cfg.logger[name].project
        with pytest.raises(MissingExtraError, match=f"{name}.*faceskd.loggers"):
            build_trainer(cfg, chunks=1)


# Refusals.


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["steps=0"], "at least 1"),
        (["steps=5"], "multiple of data.steps_per_epoch, 2, got 5"),
        (["data.steps_per_epoch=0"], "at least 1"),
        (["data.faces=/nowhere"], "no manifest"),
        (["data.faces=null"], "set data.faces"),
        (["data.batch_size=0"], "data.batch_size"),
        (["data.degradation.blur=[9,3]"], "expected blur"),
        (["init=/nowhere.safetensors"], "no weights at"),
        (["engine.metrics=[beauty]"], "no metric named 'beauty'"),
        (["experiment=encoder", "init=/nowhere.safetensors"], "init is for networks"),
    ],
    ids=str,
)
def test_impossible_settings_are_one_sentence(run, overrides, sentence):
    with pytest.raises(FaceskdError, match=sentence) as caught:
        run(*overrides)
    assert "\n" not in str(caught.value)


def test_fewer_steps_than_a_chunk_are_one_chunk(run, tmp_path):
    run("steps=3", "data.steps_per_epoch=500")
    assert checkpoint(tmp_path / "run")["hyper_parameters"]["metadata"]["steps"] == 3


def test_an_unknown_key_is_hydras_error(words):
    status, output = finished(command(*words("modle=student_tiny")))
    assert status == 1
    assert "modle" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("override", "folder"),
    [("experiment=teacher", "runs/teacher"), ("model=rdn_narrow", "runs/rdn_narrow")],
)
def test_a_run_is_called_after_its_experiment_or_its_network(override, folder, monkeypatch):
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = hydra.compose("train", [override], return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    assert cfg.hydra.run.dir == folder


# Sweeps and processes.


def without_out(words):
    return [word for word in words if not word.startswith(("out=", "name="))]


def test_a_sweep_has_a_folder_for_each_job(words, tmp_path):
    line = without_out(words("experiment=student_no_kd", "steps=1", "seed=0,1"))
    status, output = finished(command("-m", *line, f"hydra.sweep.dir={tmp_path}/sweep"))
    assert status == 0, output
    files = sorted((tmp_path / "sweep").rglob("weights.safetensors"))
    assert len(files) == 2
    assert [read_metadata(path)["seed"] for path in files] == [0, 1]


def test_a_sweep_of_several_processes_is_refused(words, tmp_path):
    line = without_out(words("experiment=student_no_kd", "seed=0,1", "trainer.devices=2"))
    status, output = finished(command("-m", *line, f"hydra.sweep.dir={tmp_path}/sweep"))
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
        "data.batch_size=1", "+callbacks.sums._target_=test_training.Checksums",
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
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
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
