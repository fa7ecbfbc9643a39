"""What each step of an engine may change, and what it must not."""

import copy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_engines import (
    ADAM,
    KINDS,
    SGD,
    WITH_DISCRIMINATOR,
    WITH_TEACHER,
    Recorder,
    fit,
    make_engine,
    make_teacher,
    moved,
    weights,
)
from torch import nn

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.engine import Autoencoder, ScratchTraining
from faceskd.engine.resumable import TrainingDivergedError
from faceskd.engine.schedule import CosineSchedule
from faceskd.faces.components import mirror_boxes
from faceskd.losses import FocalLoss, LeastSquares, WeightedSum
from faceskd.models import VGG19, Ensemble, Student, Teacher
from faceskd.models.scratches import ScratchNet

pytestmark = pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step`", "ignore:Found .* in eval mode"
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


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
    engine = Autoencoder(encoder=VGG19(width=2, weights="random"), optimizer=ADAM, crop=32)
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


@pytest.mark.parametrize("mirrored", [False, True])
def test_one_step_with_soft_targets_has_two_targets(mirrored, batch):
    engine = make_engine(
        "soft_targets", optimizer=SGD, clip=None, average_decay=None, mirrored=mirrored
    )
    twin = copy.deepcopy(engine).train()
    trainer = fit(engine, batch, 1)

    sr = twin.network(batch["lr"])
    with torch.no_grad():
        taught = twin.teacher.eval()(batch["lr"], batch["boxes"])
        if mirrored:
            boxes = mirror_boxes(batch["boxes"], 64)
            taught = (taught + twin.teacher(batch["lr"].flip(-1), boxes).flip(-1)) / 2
    taught_loss = (sr - taught).square().mean()
    fooled = sum((scores - 1).square().mean() for scores in twin.discriminator(sr))
    loss = 10 * (sr - batch["hr"]).abs().mean() + 7 * taught_loss
    step([p for p in twin.network.parameters() if p.requires_grad], loss + fooled)

    logged = trainer.callback_metrics["train/teacher_l2"]
    torch.testing.assert_close(logged, taught_loss.detach(), rtol=1e-4, atol=0)
    for name, value in engine.network.named_parameters():
        expected = twin.network.get_parameter(name)
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6, msg=name)


def test_a_target_of_a_teacher_that_mirrors_itself_is_not_made_twice(batch, monkeypatch):
    torch.manual_seed(0)
    teacher = make_teacher(mirror_share=0.3).eval()
    with torch.no_grad():
        own = teacher(batch["lr"], batch["boxes"])
        mirrored = teacher(batch["lr"].flip(-1), mirror_boxes(batch["boxes"], 64)).flip(-1)
    engine = make_engine("soft_targets", teacher=teacher, mirrored=True)
    passes = []
    looked_up = Teacher._look_up
    monkeypatch.setattr(Teacher, "_look_up", lambda *faces: passes.append(1) or looked_up(*faces))
    torch.testing.assert_close(engine.target(batch), (own + mirrored) / 2)
    assert len(passes) == 2


@pytest.mark.parametrize(("output_weight", "passes"), [(0.0, 1), (0.5, 2)])
def test_a_teacher_whose_faces_are_not_used_does_not_mirror(
    output_weight, passes, batch, monkeypatch
):
    teacher = make_teacher(3, mirror_share=0.5)
    engine = make_engine("distillation", teacher=teacher, output_weight=output_weight)
    made = []
    looked_up = Teacher._look_up
    monkeypatch.setattr(Teacher, "_look_up", lambda *faces: made.append(1) or looked_up(*faces))
    engine.generator_loss(batch)
    assert len(made) == passes


def test_several_teachers_whose_faces_are_not_used_are_refused():
    several = Ensemble(networks=[make_teacher(3), make_teacher(3)])
    make_engine("distillation", teacher=several, output_weight=0.5)
    make_engine("distillation", teacher=Ensemble(networks=[make_teacher(3)]))
    with pytest.raises(ConfigError, match=r"one teacher, got 2: with engine\.output_weight=0"):
        make_engine("distillation", teacher=several)


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


@pytest.mark.parametrize("kind", WITH_TEACHER)
def test_the_teacher_stays_as_it_is_and_in_eval_mode(kind, batch):
    engine = make_engine(kind)
    before = copy.deepcopy(engine.teacher.state_dict())
    modes = set()
    engine.teacher.register_forward_pre_hook(
        lambda teacher, _: modes.update(module.training for module in teacher.modules())
    )
    original = engine.teacher.forward_features
    engine.teacher.forward_features = lambda *given, **named: (
        modes.update(module.training for module in engine.teacher.modules()),
        original(*given, **named),
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


@pytest.mark.parametrize("kind", WITH_DISCRIMINATOR)
def test_the_discriminator_has_a_learning_rate_of_its_own(kind, batch):
    schedule = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.1)
    engine = make_engine(kind, discriminator_rate=4.0, scheduler=schedule)
    (network, discriminator), schedulers = engine.configure_optimizers()
    assert network.param_groups[0]["lr"] == pytest.approx(2e-3)
    assert discriminator.param_groups[0]["lr"] == pytest.approx(8e-3)
    for optimizer, scheduler in zip((network, discriminator), schedulers, strict=True):
        optimizer.step()
        scheduler.step()
    assert network.param_groups[0]["lr"] == pytest.approx(2e-4)
    assert discriminator.param_groups[0]["lr"] == pytest.approx(8e-4)


@pytest.mark.parametrize("kind", ["adversarial", *WITH_TEACHER])
def test_a_privileged_teacher_sees_the_hr_faces_in_training(kind, batch, monkeypatch):
    """As the network that is trained, and as the one that teaches."""
    seen = []
    teacher = make_teacher(3, privileged=True)
    choose = teacher.forward_features
    monkeypatch.setattr(
        teacher,
        "forward_features",
        lambda lr, boxes=None, hr=None: (seen.append(hr), choose(lr, boxes, hr))[1],
    )
    role = {"teacher": teacher} if kind in WITH_TEACHER else {"network": teacher}
    options = {"mirrored": True} if kind == "soft_targets" else {}
    engine = make_engine(kind, **role, **options)
    engine.generator_loss(batch)
    assert all(hr is not None for hr in seen)
    assert torch.equal(seen[0], batch["hr"])
    if kind == "soft_targets":
        assert torch.equal(seen[1], batch["hr"].flip(-1))
    seen.clear()
    engine.validation_step(batch, 0)
    assert all(hr is None for hr in seen)


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


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("kind", WITH_DISCRIMINATOR)
def test_the_schedule_of_a_discriminator_that_starts_late_ends_with_the_training(kind, batch):
    schedule = partial(CosineSchedule, T_max=4, eta_min=1e-6)
    engine = make_engine(kind, scheduler=schedule, adversarial_start=2)
    recorder = Recorder(lambda e: [one.param_groups[0]["lr"] for one in e.trainer.optimizers])
    fit(engine, batch, 4, callbacks=[recorder])
    assert recorder.seen[-1] == pytest.approx([1e-6, 1e-6])
    assert all(network == discriminator for network, discriminator in recorder.seen)


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


def test_an_autoencoder_that_diverges_ends_the_training(batch):
    engine = Autoencoder(encoder=VGG19(width=2, weights="random"), optimizer=ADAM, crop=32)
    with torch.no_grad():
        engine.decoders[0][-2].bias[0] = float("inf")
    with pytest.raises(TrainingDivergedError, match="the loss became inf at step 0"):
        fit(engine, batch, 1)


@pytest.mark.parametrize("crop", [0, 8, 40, 1.5])
def test_an_autoencoders_crop_must_be_whole_cells(crop):
    vgg = VGG19(width=2, weights="random")
    with pytest.raises(ConfigError, match=r"expected engine\.crop .* 16"):
        Autoencoder(encoder=vgg, optimizer=ADAM, crop=crop)
    for possible in (None, 32):
        Autoencoder(encoder=vgg, optimizer=ADAM, crop=possible)


def test_a_scratch_detector_that_diverges_ends_the_training(batch):
    detector, terms = ScratchNet(widths=(2, 2)), {"focal": {"weight": 1.0, "loss": FocalLoss()}}
    engine = ScratchTraining(detector=detector, losses=WeightedSum(terms=terms), optimizer=ADAM)
    with torch.no_grad():
        detector.head.bias[0] = float("nan")
    with pytest.raises(TrainingDivergedError, match="the loss became nan at step 0"):
        fit(engine, {"lr": batch["hr"], "mask": batch["hr"][:, :1].round()}, 1)
    with pytest.raises(WeightsError, match=r"head\.bias are NaN"):
        engine.write(Path("never.safetensors"), {})


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("adversarial", "adversarial_weight"),
        *(("distillation", f"{of}_weight") for of in ("feature", "adversarial", "output")),
    ],
)
def test_weights_below_zero_are_refused(kind, name):
    with pytest.raises(ConfigError, match=rf"expected engine\.{name} as a number of at least 0"):
        make_engine(kind, **{name: -1.0})


# Teachers.


@pytest.mark.parametrize("kind", WITH_TEACHER)
@pytest.mark.parametrize("option", [{"scale": 1}, {"size": 128}])
def test_a_teacher_of_other_faces_is_refused(kind, option):
    encoder = VGG19(width=2, weights="random")
    with pytest.raises(ConfigError, match=r"same scale and size, got a Student of scale 8 and 256"):
        make_engine(kind, teacher=Teacher(encoder=encoder, **option))


def test_soft_targets_need_no_boxes_where_the_teacher_needs_none(batch):
    teacher = Student(encoder=VGG19(width=2, weights="random"))
    engine = make_engine("soft_targets", teacher=teacher, mirrored=True)
    photo = {name: batch[name] for name in ("lr", "hr")}
    with torch.no_grad():
        expected = (teacher(photo["lr"]) + teacher(photo["lr"].flip(-1)).flip(-1)) / 2
    torch.testing.assert_close(engine.target(photo), expected)
