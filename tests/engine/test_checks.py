"""What does not fit is refused before the first step, and before anything is deleted."""

import pytest
import pytorch_lightning as pl
import torch
from helpers.tiny_engines import ADAM, make_engine, make_teacher
from pytorch_lightning.plugins import MixedPrecision

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.engine import Autoencoder, EncoderDistillation, ScratchTraining
from faceskd.engine.checks import check_item, check_metrics, check_precision, check_training
from faceskd.losses import WeightedSum
from faceskd.models import VGG19
from faceskd.models.scratches import ScratchNet

pytestmark = pytest.mark.filterwarnings(
    "ignore:The number of training batches",
    "ignore:Found .* in eval mode",
    "ignore:The dataloader, .* does not have many workers",
    "ignore:Checkpoint directory .* exists",
)
ITEM = {"lr": torch.zeros(3, 8, 8), "hr": torch.zeros(3, 64, 64), "name": "a"}


def encoder():
    return VGG19(width=2, weights="random")


def test_items_with_all_that_is_needed():
    boxes = {"boxes": torch.zeros(4, 4)}
    check_item(make_engine("supervised"), ITEM)
    check_item(make_engine("distillation"), ITEM | boxes)
    check_item(make_engine("supervised", network=make_teacher()), ITEM | boxes)
    check_item(Autoencoder(encoder=encoder(), optimizer=ADAM), {"hr": ITEM["hr"]})
    same = {"lr": ITEM["hr"], "hr": ITEM["hr"]}
    check_item(EncoderDistillation(encoder=encoder(), target=encoder(), optimizer=ADAM), same)


@pytest.mark.parametrize(
    ("make", "item", "sentence"),
    [
        (
            lambda: make_engine("distillation"), ITEM,
            "expected data with lr, hr, boxes for Distillation with Student and Teacher, got lr, "
            "hr, name",
        ),
        (
            lambda: make_engine("supervised", network=make_teacher()), ITEM,
            "lr, hr, boxes for Supervised with Teacher",
        ),
        (
            lambda: ScratchTraining(
                detector=ScratchNet(widths=(2, 2)), losses=WeightedSum(terms=None), optimizer=ADAM
            ),
            ITEM, "expected data with lr, mask for ScratchTraining, got lr, hr, name",
        ),
        (
            lambda: make_engine("supervised"), {"lr": ITEM["lr"]},
            r"got lr: .*\(boxes: data=faces; masks: data=old_photos; a and b: data=unpaired\)",
        ),
        (
            lambda: make_engine("supervised"), ITEM | {"lr": torch.zeros(3, 64, 64)},
            "expected HR images 8 times as large .* got 64x64 and 64x64 px: .* realsr for scale 4",
        ),
    ],
)  # fmt: skip
def test_items_that_lack_something(make, item, sentence):
    with pytest.raises(ConfigError, match=sentence):
        check_item(make(), item)


def test_gradients_are_not_clipped_while_they_are_scaled(capsys):
    """As on a GPU; on a CPU, Lightning takes bf16-mixed instead."""
    plugin = MixedPrecision("16-mixed", "cpu")
    trainer = pl.Trainer(accelerator="cpu", plugins=[plugin], logger=False)
    with pytest.raises(ConfigError, match="bf16-mixed or 32-true, got 16-mixed"):
        check_precision(make_engine("supervised"), trainer, resumed=False)
    capsys.readouterr()
    check_precision(make_engine("supervised", clip=None), trainer, resumed=False)
    unscaled = pl.Trainer(accelerator="cpu", logger=False)
    check_precision(make_engine("supervised"), unscaled, resumed=False)
    assert not capsys.readouterr().err
    check_precision(make_engine("supervised"), trainer, resumed=True)
    assert "got 16-mixed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("start", "said"), [(3, ""), (4, "adversarial_start=4 is not below the 4")]
)
def test_a_discriminator_that_never_starts_is_said(start, said, capsys):
    trainer = pl.Trainer(accelerator="cpu", logger=False)
    capsys.readouterr()
    engine = make_engine("adversarial", adversarial_start=start)
    check_training(engine, ITEM, trainer, steps=4, resumed=False)
    printed = capsys.readouterr().err
    assert (said in printed) if said else not printed


@pytest.mark.parametrize("name", ["identity", "ita", "iris_b"])
def test_metrics_that_need_landmarks_are_refused(name):
    trainer = pl.Trainer(accelerator="cpu", logger=False)
    engine = make_engine("supervised", metrics=("psnr", name))
    with pytest.raises(ConfigError, match=rf"engine\.metrics without landmarks, got {name}: "):
        check_training(engine, ITEM, trainer, steps=4, resumed=False)


def test_metrics_that_cannot_be_measured_are_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    capsys.readouterr()
    check_metrics(make_engine("supervised", metrics=("psnr", "lpips_squeeze")).suite)
    printed = capsys.readouterr().err
    assert "validation without lpips_squeeze: " in printed
    assert str(tmp_path) in printed
    assert "psnr" not in printed


def test_old_results_stay_until_the_new_settings_are_checked(run, materials, tmp_path):
    run("experiment=student_no_kd")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    for wrong in (
        ["init=/nowhere"], ["trainer.max_time=soon"], ["data.degradation.lr_size=64"],
        ["engine.optimizer.betas=[2,0.9]"],
    ):  # fmt: skip
        with pytest.raises((ConfigError, WeightsError)):
            run("experiment=student_no_kd", "resume=false", *wrong)
    after = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert after == before
