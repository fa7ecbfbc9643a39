"""Engines on tiny networks and tiny faces: what each step may change, and what it must not."""

import copy
import random
from functools import partial

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from faceskd.dictionary import Dictionary
from faceskd.engine import Adversarial, Autoencoder, Distillation, Supervised
from faceskd.engine.averaging import WeightAverage
from faceskd.engine.base import TrainingDivergedError
from faceskd.engine.random_state import random_state, set_random_state
from faceskd.errors import WeightsError
from faceskd.losses import L1Loss, LeastSquares, PerceptualLoss, WeightedSum
from faceskd.models import VGG19, MultiScaleDiscriminator, Student, Teacher

pytestmark = pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step`", "ignore:Found .* in eval mode"
)

SGD = partial(torch.optim.SGD, lr=0.1)
ADAM = partial(torch.optim.Adam, lr=2e-3)
KINDS = ("supervised", "adversarial", "distillation")
WITH_DISCRIMINATOR = ("adversarial", "distillation")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
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


def make_teacher(width=2):
    encoder = VGG19(width=width)
    atoms = Dictionary.random(encoder.taps, encoder.feature_info, atoms=3)
    return Teacher(encoder=encoder, dictionary=atoms)


def make_engine(kind, *, network=None, loss=None, **options):
    terms = {"l1": {"weight": 10.0, "loss": loss or L1Loss()}}
    common = {
        "network": network or Student(encoder=VGG19(width=2)),
        "model_config": {"_target_": "faceskd.models.student.Student"},
        "losses": WeightedSum(terms=terms),
        "optimizer": ADAM,
        "metrics": ("psnr",),
        "average_decay": 0.9,
    } | options
    if kind == "supervised":
        return Supervised(**common)
    common["adversarial"] = common.get("adversarial", LeastSquares())
    if kind == "adversarial":
        discriminator = MultiScaleDiscriminator(scales=2, width=2, layers=2)
        return Adversarial(discriminator=discriminator, **common)
    return Distillation(teacher=make_teacher(3), discriminator_width=2, **common)


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


# The average.


@given(
    values=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=40),
    decay=st.floats(0.0, 0.999),
)
def test_the_average_is_its_recurrence(values, decay):
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(0.5)
    average = WeightAverage(network, decay=decay)
    expected = 0.5
    for step, value in enumerate(values, 1):
        network.weight.data.fill_(value)
        average.update(network)
        now = min(decay, (1 + step) / (10 + step))
        expected = now * expected + (1 - now) * value
    assert average.get_buffer("weight").item() == pytest.approx(expected, abs=1e-4)
    assert int(average.step) == len(values)


def test_swapping_gives_the_average_and_gives_it_back():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    average = WeightAverage(network, decay=0.9)
    old = weights(network)
    for parameter in network.parameters():
        parameter.data += 1
    new = weights(network)
    with average.swapped(network):
        assert all(torch.equal(p, old[n]) for n, p in network.named_parameters())
    assert not moved(new, network)
    with pytest.raises(KeyError), average.swapped(network):
        raise KeyError
    assert not moved(new, network)
    assert torch.equal(average.get_buffer("0/weight"), old["0.weight"])


def test_frozen_weights_are_not_averaged():
    teacher = make_teacher()
    names = dict(WeightAverage(teacher, decay=0.9).named_buffers())
    assert not any(name.startswith("encoder") for name in names)
    assert any(name.startswith("decoder") for name in names)


def test_validation_measures_the_averaged_weights(batch):
    engine = make_engine("supervised", optimizer=partial(torch.optim.SGD, lr=0.5))
    trainer = fit(engine, batch, 3, validate=True)
    after = weights(engine.network)
    engine.eval()  # spectral norm moves with every pass in training
    with torch.no_grad(), engine.averaged():
        assert moved(after, engine.network)
        averaged = engine.network(batch["lr"])
    shown = (averaged.clamp(0, 1) * 255).round() / 255
    mse = (shown - (batch["hr"] * 255).round() / 255).square().mean(dim=(1, 2, 3))
    expected = (-10 * mse.log10()).mean().item()
    assert trainer.callback_metrics["val/psnr"].item() == pytest.approx(expected, abs=1e-3)
    assert not moved(after, engine.network)


def test_without_an_average_the_weights_are_validated(batch):
    engine = make_engine("supervised", average_decay=None)
    assert "val/psnr" in fit(engine, batch, 1, validate=True).callback_metrics


# Learning.


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_one_batch_falls(kind, batch):
    engine = make_engine(kind)
    with torch.no_grad():
        before, _ = engine.losses(engine.network(batch["lr"]), batch["hr"])
    fit(engine, batch, 25)
    with torch.no_grad():
        after, _ = engine.losses(engine.network(batch["lr"]), batch["hr"])
    assert after < 0.9 * before


def test_a_teacher_learns_with_its_encoder_frozen(batch):
    teacher = make_teacher()
    encoder = copy.deepcopy(teacher.encoder.state_dict())
    engine = make_engine("adversarial", network=teacher)
    before = weights(teacher)
    fit(engine, batch, 2)
    assert any(name.startswith("transfers") for name in moved(before, teacher))
    assert all(
        torch.equal(value, encoder[name]) for name, value in teacher.encoder.state_dict().items()
    )


def test_distilled_features_come_nearer(batch):
    engine = make_engine("distillation", adversarial_weight=0.0)
    recorder = Recorder(lambda e: e.trainer.callback_metrics["train/feature"].item())
    fit(engine, batch, 25, callbacks=[recorder])
    assert recorder.seen[-1] < 0.8 * recorder.seen[0]


def test_the_autoencoder_learns_and_every_tap_takes_part(batch):
    engine = Autoencoder(encoder=VGG19(width=2), optimizer=ADAM, crop=32)
    before = weights(engine)
    recorder = Recorder(lambda e: e.trainer.callback_metrics["loss"].item())
    trainer = fit(engine, batch, 30, validate=True, callbacks=[recorder])
    assert np.mean(recorder.seen[-5:]) < 0.9 * np.mean(recorder.seen[:5])
    assert moved(before, engine) == {name for name in before if "normalise" not in name}
    assert {f"val/psnr_{tap}" for tap in engine.encoder.taps} <= set(trainer.callback_metrics)
    sizes = {tuple(image.shape) for image in engine.reconstruct(batch["hr"])}
    assert sizes == {(2, 3, 64, 64)}


@pytest.mark.parametrize("output_weight", [0.0, 0.5])
def test_one_distillation_step_is_eq_6_and_7(output_weight, batch):
    engine = make_engine(
        "distillation", optimizer=SGD, clip=None, average_decay=None, output_weight=output_weight
    )
    twin = copy.deepcopy(engine).train()
    fit(engine, batch, 1)

    student, teacher, judge = twin.network, twin.teacher, twin.discriminator
    sr, features = student.forward_features(batch["lr"])
    with torch.no_grad():
        taught_sr, taught = teacher.forward_features(batch["lr"], batch["boxes"])
    adapted = [adapter(f) for adapter, f in zip(twin.distillation.adapters, features, strict=True)]
    scores = judge.discriminators
    loss = 10 * (sr - batch["hr"]).abs().mean()
    loss = loss + output_weight * 10 * (sr - taught_sr).abs().mean()
    for d, s, t in zip(scores, adapted, taught, strict=True):
        loss = loss + ((d(s) - 1) ** 2).mean() + ((s - t) ** 2).mean()
    trained = [*student.parameters(), *twin.distillation.parameters()]
    trained = [p for p in trained if p.requires_grad]
    step(trained, loss)
    loss_d = sum((d(t) - 1).square().mean() for d, t in zip(scores, taught, strict=True))
    loss_d = loss_d + sum(
        d(s.detach()).square().mean() for d, s in zip(scores, adapted, strict=True)
    )
    step(list(judge.parameters()), loss_d)

    expected = twin.state_dict()
    for name, value in engine.state_dict().items():
        if name != "steps":
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def step(parameters, loss):
    """Gradient descent, literally."""
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.data -= 0.1 * gradient


# Who is trained by what.


def uneven(*rates):
    """An optimiser factory whose calls get these learning rates, in turn."""
    left = list(rates)
    return lambda parameters: torch.optim.SGD(parameters, lr=left.pop(0))


@pytest.mark.parametrize("kind", WITH_DISCRIMINATOR)
def test_the_generators_step_leaves_the_discriminator(kind, batch):
    engine = make_engine(kind, optimizer=uneven(0.1, 0.0), average_decay=None)
    judge, network = weights(engine.discriminator), weights(engine.network)
    fit(engine, batch, 2)
    assert not moved(judge, engine.discriminator)
    assert moved(network, engine.network)


@pytest.mark.parametrize("kind", WITH_DISCRIMINATOR)
def test_the_discriminators_step_leaves_the_generator(kind, batch):
    engine = make_engine(kind, optimizer=uneven(0.0, 0.1), average_decay=None)
    judge, network = weights(engine.discriminator), weights(engine.network)
    fit(engine, batch, 2)
    assert moved(judge, engine.discriminator)
    assert not moved(network, engine.network)


def test_the_teacher_stays_as_it_is_and_in_eval_mode(batch):
    engine = make_engine("distillation")
    before = copy.deepcopy(engine.teacher.state_dict())
    modes = set()
    engine.teacher.register_forward_pre_hook(
        lambda teacher, _: modes.update(module.training for module in teacher.modules())
    )
    original = engine.teacher.forward_features
    engine.teacher.forward_features = lambda *given: (
        modes.update(module.training for module in engine.teacher.modules()),
        original(*given),
    )[1]
    fit(engine, batch, 2, epochs=2, validate=True)
    assert modes == {False}
    assert engine.network.training
    after = engine.teacher.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(parameter.grad is None for parameter in engine.teacher.parameters())


@pytest.mark.parametrize("kind", WITH_DISCRIMINATOR)
def test_adversarial_weight_0_has_no_discriminator(kind, batch):
    engine = make_engine(kind, adversarial_weight=0.0)
    assert engine.discriminator is None
    trainer = fit(engine, batch, 2)
    assert len(trainer.optimizers) == 1
    assert not any(
        "adversarial" in name or "discriminator" in name for name in trainer.callback_metrics
    )


@pytest.mark.parametrize("kind", WITH_DISCRIMINATOR)
def test_the_discriminator_starts_when_it_should(kind, batch):
    engine = make_engine(kind, adversarial_start=2)
    first = weights(engine.discriminator)
    recorder = Recorder(
        lambda e: (
            bool(moved(first, e.discriminator)),
            "train/adversarial" in e.trainer.callback_metrics,
        )
    )
    fit(engine, batch, 4, callbacks=[recorder])
    assert recorder.seen == [(False, False), (False, False), (True, True), (True, True)]


# Steps.


def test_gradients_are_clipped(batch):
    def distance(clip):
        torch.manual_seed(1)
        engine = make_engine(
            "supervised", optimizer=partial(torch.optim.SGD, lr=1.0), clip=clip, average_decay=None
        )
        before = weights(engine.network)
        fit(engine, batch, 1)
        steps = [value - before[name] for name, value in engine.network.named_parameters()]
        return torch.cat([change.flatten() for change in steps]).norm().item()

    assert distance(1e-3) == pytest.approx(1e-3, rel=1e-2)
    assert distance(None) > 1e-2


def test_schedulers_step_after_every_batch(batch):
    halve = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    engine = make_engine("distillation", scheduler=halve)
    trainer = fit(engine, batch, 3)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers]
    assert rates == pytest.approx([2e-3 / 8, 2e-3 / 8])
    assert int(engine.steps) == 3


class BreaksAt(nn.Module):
    """A loss that is NaN from a certain call on."""

    def __init__(self, call):
        super().__init__()
        self.calls_left = call

    def forward(self, sr, hr):
        self.calls_left -= 1
        return (sr - hr).abs().mean() * (float("nan") if self.calls_left < 0 else 1.0)


def test_a_loss_that_is_no_number_ends_the_training(batch):
    engine = make_engine("supervised", loss=BreaksAt(3))
    with pytest.raises(TrainingDivergedError, match="the loss became nan at step 3: resume from"):
        fit(engine, batch, 6)
    assert all(torch.isfinite(value).all() for value in engine.network.parameters())


def test_a_discriminators_loss_that_is_no_number_is_named(batch):
    class Infinite(LeastSquares):
        def discriminator(self, real, fake):
            return super().discriminator(real, fake) * float("inf")

    engine = make_engine("adversarial", adversarial=Infinite())
    with pytest.raises(TrainingDivergedError, match="discriminator loss became inf at step 0"):
        fit(engine, batch, 1)


# Checkpoints.


@pytest.fixture
def checkpoint(batch, tmp_path):
    perceptual = PerceptualLoss(vgg=VGG19(width=1, taps=("relu1_1",)))
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
    assert content["hyper_parameters"]["model"] == engine.model_config


def test_a_checkpoint_of_another_training_is_refused(checkpoint, batch):
    _, path = checkpoint
    others = [
        make_engine("distillation", network=Student(encoder=VGG19(width=3))),
        make_engine("distillation", adversarial_weight=0.0),
        make_engine("supervised"),
        Autoencoder(encoder=VGG19(width=2), optimizer=ADAM),
    ]
    loader = DataLoader([batch], batch_size=None)
    for other in others:
        trainer = pl.Trainer(
            max_epochs=3, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, accelerator="cpu",
        )  # fmt: skip
        with pytest.raises(WeightsError, match="the checkpoint is of another training"):
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
    with pytest.raises(WeightsError, match="its dictionary was another"):
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
