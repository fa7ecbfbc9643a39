"""Engines on tiny networks and tiny faces, and what they did."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader

from faceskd.engine import Adversarial, Distillation, SoftTargets, Supervised
from faceskd.losses import L1Loss, LeastSquares, MSELoss, WeightedSum
from faceskd.models import VGG19, MultiScaleDiscriminator, Student, Teacher
from faceskd.models.dictionary import Dictionary

SGD = partial(torch.optim.SGD, lr=0.1)
ADAM = partial(torch.optim.Adam, lr=2e-3)
KINDS = ("supervised", "adversarial", "distillation", "soft_targets")
WITH_DISCRIMINATOR = ("adversarial", "distillation", "soft_targets")
WITH_TEACHER = ("distillation", "soft_targets")


@pytest.fixture(scope="session")
def batch():
    """Two smooth faces of 64 px (an eighth: 8 px) with boxes."""
    generator = torch.Generator().manual_seed(5)
    hr = nn.functional.interpolate(torch.rand(2, 3, 6, 6, generator=generator), 64, mode="bicubic")
    boxes = torch.tensor([[8, 12, 24, 28], [40, 12, 56, 28], [24, 28, 40, 44], [20, 40, 44, 64]])
    return {
        "lr": nn.functional.avg_pool2d(hr, 8),
        "hr": hr.clamp(0, 1),
        "boxes": boxes.float().expand(2, 4, 4),
    }


def make_teacher(width=2, **options):
    encoder = VGG19(width=width, weights="random")
    atoms = Dictionary.random(encoder.taps, encoder.feature_info, atoms=3)
    return Teacher(encoder=encoder, dictionary=atoms, **options)


def make_engine(kind, *, network=None, loss=None, **options):
    terms = {"l1": {"weight": 10.0, "loss": loss or L1Loss()}}
    common = {
        "network": network or Student(encoder=VGG19(width=2, weights="random")),
        "model_config": {"_target_": "faceskd.models.student.Student"},
        "losses": WeightedSum(terms=terms),
        "optimizer": ADAM,
        "metrics": ("psnr",),
        "average_decay": 0.9,
    } | options
    if kind == "supervised":
        return Supervised(**common)
    common["adversarial"] = common.get("adversarial", LeastSquares())
    if kind in ("adversarial", "soft_targets"):
        common["discriminator"] = MultiScaleDiscriminator(scales=2, width=2, layers=2)
    if kind == "adversarial":
        return Adversarial(**common)
    if kind == "soft_targets":
        teacher_losses = WeightedSum(terms={"l2": {"weight": 7.0, "loss": MSELoss()}})
        return SoftTargets(
            **{"teacher": make_teacher(3), "teacher_losses": teacher_losses} | common
        )
    return Distillation(**{"teacher": make_teacher(3), "discriminator_width": 2} | common)


def fit(engine, batch, steps=1, *, epochs=1, validate=False, **options):
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **({"enable_checkpointing": False} | options),
    )
    loader = DataLoader([batch] * steps, batch_size=None)
    validation = DataLoader([batch], batch_size=None) if validate else None
    trainer.fit(engine, loader, validation)
    return trainer


def weights(module):
    return {name: value.detach().clone() for name, value in module.named_parameters()}


def moved(before, module):
    return {
        name for name, value in module.named_parameters() if not torch.equal(value, before[name])
    }


class Recorder(pl.Callback):
    """Calls a function after every step and keeps what it returns."""

    def __init__(self, look):
        self.look = look
        self.seen = []

    def on_train_batch_end(self, trainer, engine, *_):
        self.seen.append(self.look(engine))
