"""Trainings of a second, for the tests of training."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

TINY = (
    "model=student_tiny",
    "model.encoder.width=2",
    "model.encoder.weights=random",
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
    """An encoder, dictionaries of its own and teachers (of scale 8, and of scale 1 at 512 px), all
    of width 2, and a VAE, on disk.
    """
    from faceskd.common.config import compose_model
    from faceskd.models import VGG19
    from faceskd.models.dictionary import Dictionary
    from faceskd.models.weights import build_network, save_network

    folder = tmp_path_factory.mktemp("materials")
    torch.manual_seed(0)
    encoder = VGG19(width=2, weights="random")
    encoder.save(folder / "encoder.safetensors")
    atoms = Dictionary.random(encoder.taps, encoder.feature_info, atoms=3)
    Dictionary(atoms.atoms, encoder.fingerprint()).save(folder / "dictionary.safetensors")
    overrides = [
        "encoder.width=2",
        f"encoder.weights={folder}/encoder.safetensors",
        f"dictionary={folder}/dictionary.safetensors",
    ]
    config = compose_model("teacher_tiny", overrides)
    save_network(folder / "teacher.safetensors", build_network(config), config)
    atoms = Dictionary.random(encoder.taps, encoder.feature_info, atoms=3, face_size=512)
    large = folder / "dictionary_512.safetensors"
    Dictionary(atoms.atoms, encoder.fingerprint()).save(large)
    config |= {"dictionary": str(large), "scale": 1, "size": 512}
    save_network(folder / "photo_teacher.safetensors", build_network(config), config)
    config = compose_model("old_photo_vae")
    save_network(folder / "old_photo_vae.safetensors", build_network(config), config)
    return folder


@pytest.fixture(scope="session")
def quarter_folder(tmp_path_factory):
    """A folder as FACESKD_WEIGHTS names it, with a VGG-19 of quarter width (random values)."""
    from faceskd.models import VGG19

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    state = VGG19(width=16, taps=("relu5_1",), weights="random").state_dict()
    names = {key: key.replace("normalise", "conv0").replace("convs.", "conv") for key in state}
    model = {names[key].replace("_", ""): value for key, value in state.items()}
    torch.save({"model": model}, folder / "vgg19_quarter_conv5_1.pth")
    return folder


@pytest.fixture
def quarter_weights(quarter_folder, monkeypatch):
    """Pretrained weights of quarter width are where FACESKD_WEIGHTS says."""
    monkeypatch.setenv("FACESKD_WEIGHTS", str(quarter_folder))


@pytest.fixture(scope="session")
def words_in(prepared_faces, materials):
    """The command line of a training in a folder."""

    def build(folder, *overrides):
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
        if "experiment=encoder_distilled" not in overrides:  # it has folders of photographs
            line.append(f"data.faces={prepared_faces}")
        return [*line, f"out={folder}", *overrides]

    return build


@pytest.fixture
def words(words_in, tmp_path):
    """The command line of a training in `tmp_path/<out>`."""
    return lambda *overrides, out="run": words_in(tmp_path / out, *overrides)


@pytest.fixture
def run(words):
    """Train in this process."""
    from faceskd.common.config import compose
    from faceskd.engine.training import train

    def start(*overrides, out="run"):
        return train(compose("train", words(*overrides, out=out)))

    return start


def command(*arguments, **options):
    line = [sys.executable, "-m", "faceskd.commands.train", *arguments]
    return subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )


def train_here(*arguments):
    """Run `faceskd train` in this process; its exit status and what it printed."""
    from faceskd.cli import main

    printed, status = io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            main(["train", *arguments])
        except SystemExit as end:
            status = end.code
    return status, printed.getvalue()


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


class Rates(pl.Callback):
    """Writes down the learning rate of each step."""

    def __init__(self, path):
        self.path = Path(path)

    def on_train_batch_start(self, trainer, engine, batch, index):
        with self.path.open("a") as file:
            file.write(f"{trainer.optimizers[0].param_groups[0]['lr']}\n")
