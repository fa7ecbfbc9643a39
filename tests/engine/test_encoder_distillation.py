"""An encoder of our own, trained on another's features."""

import numpy as np
import pytest
import torch
from helpers.tiny_engines import ADAM, Recorder, fit, moved, weights

from faceskd.common.errors import ConfigError
from faceskd.common.images import write_image
from faceskd.engine import EncoderDistillation
from faceskd.engine.resumable import TrainingDivergedError
from faceskd.models import VGG19
from faceskd.models.blocks import bicubic

pytestmark = pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step`", "ignore:Found .* in eval mode",
    "ignore:The number of training batches", "ignore:The dataloader, .* does not have many",
)  # fmt: skip
TAPS = ("relu1_1", "relu2_1", "conv3_1")


def vgg(**options):
    return VGG19(**{"width": 2, "taps": TAPS, "weights": "random"} | options)


@pytest.fixture
def engine():
    torch.manual_seed(0)
    return EncoderDistillation(encoder=vgg(), target=vgg(), optimizer=ADAM, crop=32)


def test_the_error_is_relative_to_the_targets_features(engine, batch):
    images = batch["hr"]
    errors = engine.relative_errors(images)
    pairs = zip(engine.encoder(images), engine.target(images), strict=True)
    expected = [((f - t) ** 2).sum() / (t**2).sum() for f, t in pairs]
    assert len(errors) == len(TAPS)
    torch.testing.assert_close(torch.stack(errors), torch.stack(expected))
    engine.encoder.load_state_dict(engine.target.state_dict())
    assert [error.item() for error in engine.relative_errors(images)] == [0, 0, 0]


def test_a_crop_without_a_cell_of_every_map_is_refused():
    with pytest.raises(ConfigError, match=r"engine\.crop as a whole number of at least 4, got 3"):
        EncoderDistillation(encoder=vgg(), target=vgg(), optimizer=ADAM, crop=3)


def test_half_of_a_batch_is_sharp_and_half_is_enlarged(engine, batch):
    images = engine._images(batch)
    assert torch.equal(images[:1], batch["hr"][:1])
    torch.testing.assert_close(images[1:], bicubic(batch["lr"][1:], 8).clamp(0, 1))
    alone = {key: value[:1] for key, value in batch.items()}
    assert torch.equal(engine._images(alone), batch["hr"][:1])


def test_the_encoder_comes_nearer_and_the_target_stays(engine, batch):
    target, encoder = weights(engine.target), weights(engine.encoder)
    recorder = Recorder(lambda e: e.trainer.callback_metrics["loss"].item())
    trainer = fit(engine, batch, 60, validate=True, callbacks=[recorder])
    assert np.mean(recorder.seen[-5:]) < 0.8 * np.mean(recorder.seen[:5])
    assert not moved(target, engine.target)
    assert moved(encoder, engine.encoder) == {n for n in encoder if not n.startswith("normalise")}
    assert {f"val/error_{tap}" for tap in TAPS} <= set(trainer.callback_metrics)


@pytest.mark.parametrize(
    "other", [{"width": 3}, {"taps": TAPS[:2]}, {"taps": ("relu1_2", *TAPS[1:])}]
)
def test_a_target_of_other_feature_maps_is_refused(other):
    with pytest.raises(ConfigError, match="the feature maps of its target"):
        EncoderDistillation(encoder=vgg(), target=vgg(**other), optimizer=ADAM)


def test_features_that_are_all_zero_give_finite_errors(engine, batch):
    """As deep features of flat images may be, behind a ReLU."""
    for parameter in engine.target.parameters():
        parameter.zero_()
    errors = torch.stack(engine.relative_errors(batch["hr"]))
    assert torch.isfinite(errors).all() and (errors > 0).all()


def test_a_loss_that_is_no_number_ends_the_training(engine, batch):
    with torch.no_grad():
        engine.encoder.convs["1_1"].bias[0] = float("nan")
    with pytest.raises(TrainingDivergedError, match="the loss became nan at step 0"):
        fit(engine, batch, 1)


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("train", "val"):
        for number in range(3):
            image = rng.integers(0, 256, (72, 90, 3), dtype=np.uint8)
            write_image(tmp_path / name / f"{number}.png", image)
    return tmp_path


@pytest.mark.usefixtures("quarter_weights")
def test_the_experiment_runs_goes_on_and_writes_an_encoder(run, photographs, tmp_path):
    options = (
        "experiment=encoder_distilled", "data.size=64", "data.degradation.lr_size=8",
        "engine.crop=48", f"+data.folders.a={{path:{photographs}/train,share:0.5}}",
        f"+data.val_folders.a={{path:{photographs}/val}}",
    )  # fmt: skip
    assert run(*options, "trainer.max_time=00:00:00:00").steps == 2
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert {key.split(".")[0] for key in state["state_dict"]} == {"encoder"}
    trained = run(*options)
    assert trained.steps == 4
    assert np.isfinite(trained.metrics["val/error_relu5_1"])
    taps = ("relu2_2", "relu3_4", "relu4_4", "relu5_1")
    encoder = VGG19(width=16, taps=taps, weights=trained.weights)
    assert len(encoder(torch.rand(1, 3, 32, 32))) == 4
