"""What a checkpoint holds, and which one is refused."""

import random

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from helpers.tiny_engines import ADAM, fit, make_engine, make_teacher
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from faceskd.common.config import compose, instantiate
from faceskd.common.errors import WeightsError
from faceskd.engine import Autoencoder
from faceskd.engine.random_state import random_state, set_random_state
from faceskd.losses import PerceptualLoss
from faceskd.models import VGG19, Student
from faceskd.models.registry import from_stored

pytestmark = pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step`", "ignore:Found .* in eval mode"
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def checkpoint(batch, tmp_path):
    perceptual = PerceptualLoss(vgg=VGG19(width=1, taps=("relu1_1",), weights="random"))
    engine = make_engine("distillation", loss=perceptual)
    saver = ModelCheckpoint(dirpath=tmp_path, filename="last")
    fit(engine, batch, 2, enable_checkpointing=True, callbacks=[saver])
    return engine, tmp_path / "last.ckpt"


def test_checkpoints_hold_plain_values_and_no_frozen_part(checkpoint):
    engine, path = checkpoint
    content = torch.load(path, weights_only=True)
    keys = set(content["state_dict"])
    assert not [key for key in keys if key.startswith(("teacher.", "losses."))]
    for part in ("network.", "average.", "discriminator.", "distillation.", "steps"):
        assert any(key.startswith(part) for key in keys), part
    assert len(content["optimizer_states"]) == 2
    assert content["hyper_parameters"]["metadata"] == {"steps": 2, "engine": "Distillation"}
    assert from_stored(content["hyper_parameters"]["model"]) == engine.model_config


@pytest.mark.parametrize("name", ["Adam", "NAdam", "RAdam", "Adamax"])
def test_checkpoints_of_any_optimiser_can_be_read_again(name, batch, tmp_path):
    settings = [f"engine.optimizer._target_=torch.optim.{name}", "data.faces=F", "out=O"]
    optimizer = instantiate(compose("train", settings).engine.optimizer)
    saver = ModelCheckpoint(dirpath=tmp_path, filename="last")
    engine = make_engine("supervised", optimizer=optimizer)
    fit(engine, batch, 1, enable_checkpointing=True, callbacks=[saver])
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["optimizer_states"]


def test_a_checkpoint_of_another_training_is_refused(checkpoint, batch):
    _, path = checkpoint
    others = [
        make_engine("distillation", network=Student(encoder=VGG19(width=3, weights="random"))),
        make_engine("distillation", adversarial_weight=0.0),
        make_engine("supervised"),
        Autoencoder(encoder=VGG19(width=2, weights="random"), optimizer=ADAM),
    ]
    loader = DataLoader([batch], batch_size=None)
    for other in others:
        trainer = pl.Trainer(
            max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, accelerator="cpu",
        )  # fmt: skip
        with pytest.raises(WeightsError, match="the checkpoint belongs to another training"):
            trainer.fit(other, loader, ckpt_path=str(path), weights_only=True)


def test_a_teachers_checkpoint_belongs_to_its_dictionary(batch, tmp_path):
    saver = ModelCheckpoint(dirpath=tmp_path, filename="last")
    teacher = make_teacher()
    teacher.dictionary_sha256 = "a" * 64
    engine = make_engine("supervised", network=teacher)
    fit(engine, batch, 1, enable_checkpointing=True, callbacks=[saver])
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["hyper_parameters"]["metadata"]["dictionary"]["sha256"] == "a" * 64
    engine.on_load_checkpoint(content)
    teacher.dictionary_sha256 = "b" * 64
    with pytest.raises(WeightsError, match=r"the dictionary of SHA-256 a{16}"):
        engine.on_load_checkpoint(content)


def test_random_state_goes_on_where_it_was():
    def draw():
        return random.random(), np.random.rand(), torch.rand(3).tolist()  # noqa: NPY002

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    np.random.randn()  # noqa: NPY002
    state = random_state()
    expected = draw()
    draw()
    set_random_state(state)
    assert draw() == expected
