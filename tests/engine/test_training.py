"""Whole trainings, tiny: what they leave behind, what they are made of, what they refuse."""

import json
import math

import hydra
import pytest
import torch
from helpers.aligned_faces import BOXES
from helpers.tiny_training import checkpoint
from hydra.core.hydra_config import HydraConfig
from safetensors.torch import load_file

from faceskd.common.config import compose, compose_model, conf_dir
from faceskd.common.errors import FaceskdError, MissingExtraError, WeightsError
from faceskd.common.images import read_image
from faceskd.common.tensors import read_safetensors
from faceskd.engine import (
    Adversarial,
    Autoencoder,
    Cycle,
    Distillation,
    EncoderDistillation,
    MappingTraining,
    ScratchTraining,
    SoftTargets,
    Supervised,
    Variational,
)
from faceskd.engine.building import build_engine, warm_start
from faceskd.engine.training import build_trainer
from faceskd.models import VGG19, Ensemble
from faceskd.models.blocks import upsample
from faceskd.models.dictionary import Dictionary
from faceskd.models.weights import build_network, load_network, read_metadata
from faceskd.pretrained import load_pretrained, model_path
from faceskd.reporting.curves import read_curves

pytestmark = pytest.mark.filterwarnings(
    "ignore:The number of training batches",
    "ignore:Found .* in eval mode",
    "ignore:The dataloader, .* does not have many workers",
    "ignore:Checkpoint directory .* exists",
)


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


def test_the_autoencoder_writes_the_encoder_that_it_trained(run, materials, tmp_path):
    given = materials / "encoder.safetensors"
    trained = run(
        "experiment=encoder", "engine.encoder.width=2", f"engine.encoder.weights={given}",
        "engine.crop=64",
    )  # fmt: skip
    written, before = VGG19(width=2, weights=trained.weights).state_dict(), load_file(given)
    state = checkpoint(tmp_path / "run")["state_dict"]
    for name, value in written.items():
        assert torch.equal(value, state[f"encoder.{name}"]), name
        assert torch.equal(value, before[name]) == name.startswith("normalise"), name
    metadata = json.loads(read_safetensors(trained.weights)[1]["metadata"])
    assert (metadata["steps"], metadata["planned_steps"], metadata["seed"]) == (4, 4, 0)
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


RELEASED = {
    "lite-s": ("lite_s", ["activation=leaky_relu"]),
    "lite-m": ("lite_m", ["activation=leaky_relu"]),
    "lite-s@1": ("lite_s", []),
    "lite-m@1": ("lite_m", []),
    "teacher": ("teacher_small", ["encoder.weights=random", "dictionary=null"]),
}


@pytest.mark.parametrize("name", RELEASED)
def test_training_goes_on_from_what_comes_with_the_package(name):
    torch.manual_seed(0)
    network = build_network(compose_model(*RELEASED[name]))
    warm_start(network, model_path(name))
    if name == "teacher":
        network.load_dictionary(Dictionary.load(model_path("faces-k64")))
    lr = upsample(torch.rand(2, 3, 8, 8), 4)  # on noise a teacher's outputs are in the tens
    boxes = torch.tensor(BOXES).float().expand(2, -1, -1)
    with torch.no_grad():
        expected = load_pretrained(name)(lr, boxes)
        torch.testing.assert_close(network.eval()(lr, boxes), expected, rtol=0, atol=2e-3)


# Configs.

EXPERIMENTS = {
    "encoder": Autoencoder,
    "encoder_distilled": EncoderDistillation,
    "teacher": Adversarial,
    "student_mskd": Distillation,
    "student_sskd": Distillation,
    "student_lite": Distillation,
    "student_no_adversarial": Distillation,
    "student_no_feature": Distillation,
    "student_no_kd": Supervised,
    "plain": Supervised,
    "pixel": Supervised,
    "srgan": Adversarial,
    "srfeat": Adversarial,
    "hifacegan": Adversarial,
    "texture": Adversarial,
    "identity": Adversarial,
    "photo": Adversarial,
    "paper_teacher": Adversarial,
    "paper_student_mskd": Distillation,
    "paper_student_sskd": Distillation,
    "paper_student_no_kd": Supervised,
    "photo_start": Supervised,
    "photo_teacher": Adversarial,
    "photo_distilled": Distillation,
    "scene": Adversarial,
    "realsr": Adversarial,
    "seasons": Cycle,
    "drawing": Supervised,
    "scratches": ScratchTraining,
    "old_vae_photos": Variational,
    "old_vae_clean": Variational,
    "old_mapping": MappingTraining,
}


def teacher_of(experiment, materials):
    name = "photo_teacher" if experiment == "photo_distilled" else "teacher"
    return f"engine.teacher={materials}/{name}.safetensors"


def test_every_experiment_is_known_here():
    files = {path.stem for path in (conf_dir() / "experiment").glob("*.yaml")}
    assert files == set(EXPERIMENTS)


@pytest.mark.parametrize(("experiment", "engine"), EXPERIMENTS.items())
@pytest.mark.usefixtures("quarter_weights")
def test_every_experiment_builds(experiment, engine, materials):
    overrides = [f"experiment={experiment}", "name=test", "out=out"]
    if engine is Distillation:
        overrides.append(teacher_of(experiment, materials))
    if engine is MappingTraining:
        vae = f"{materials}/old_photo_vae.safetensors"
        overrides += [f"engine.old_vae={vae}", f"engine.clean_vae={vae}"]
    built = build_engine(compose("train", overrides))
    assert type(built) is engine
    if isinstance(built, Distillation):
        assert built.distillation.levels == ((3,) if "sskd" in experiment else (0, 1, 2, 3))


WITHOUT_WEIGHTS = {
    *("encoder", "pixel", "photo_start", "photo_distilled", "seasons", "drawing", "scratches"),
}
"""Experiments that need no pretrained weights."""


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_without_pretrained_weights_an_experiment_says_what_it_lacks(
    experiment, materials, monkeypatch
):
    monkeypatch.delenv("FACESKD_WEIGHTS", raising=False)
    overrides = [f"experiment={experiment}", "name=test", "out=out"]
    if EXPERIMENTS[experiment] is Distillation:
        overrides.append(teacher_of(experiment, materials))
    cfg = compose("train", overrides)
    if experiment in WITHOUT_WEIGHTS:
        assert build_engine(cfg)
        return
    with pytest.raises(WeightsError, match=r"(losses|engine|model)\.[\w.]+\.weights") as caught:
        build_engine(cfg)
    for way in ("FACESKD_WEIGHTS", "torchvision", "experiment=encoder", "random"):
        assert way in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_missing_file_of_weights_is_named(monkeypatch):
    monkeypatch.delenv("FACESKD_WEIGHTS", raising=False)
    cfg = compose("train", ["experiment=identity", "name=test", "out=out"])
    with pytest.raises(WeightsError) as caught:
        build_engine(cfg)
    assert str(caught.value).startswith(
        "losses.terms.perceptual.loss.vgg.weights and losses.terms.shape.loss.loss.vgg.weights and "
        "engine.discriminator.vgg.weights must be given: set FACESKD_WEIGHTS to the folder"
    )


def test_untrained_encoders_have_to_be_asked_for(words, monkeypatch):
    monkeypatch.delenv("FACESKD_WEIGHTS", raising=False)
    key = "losses.terms.perceptual.loss.vgg.weights"
    with pytest.raises(WeightsError, match=key):
        build_engine(compose("train", words("losses=balanced")))
    assert build_engine(compose("train", words("losses=balanced", f"{key}=random")))
    with pytest.raises(WeightsError, match=r"^model\.encoder\.weights must be given"):
        build_engine(compose("train", words("model.encoder.weights=null")))


def test_a_network_that_starts_from_another_has_its_encoder(words, materials, tmp_path):
    given = ["model.encoder.weights=null", f"init={materials}/teacher.safetensors"]
    engine = build_engine(compose("train", words(*given)))
    teacher = load_network(materials / "teacher.safetensors")
    assert engine.network.encoder.fingerprint() == teacher.encoder.fingerprint()
    with pytest.raises(WeightsError, match=r"has no encoder that fits .*model\.encoder\.weights"):
        build_engine(compose("train", words(*given, "model.encoder.width=3")))


@pytest.mark.parametrize("losses", ["losses=detector", "losses=identity", "losses.terms=null"])
@pytest.mark.usefixtures("quarter_weights")
def test_a_finish_with_soft_targets_builds(losses, materials):
    overrides = ["experiment=identity", "engine=soft_targets", "name=test", "out=out", losses]
    overrides.append(f"engine.teacher={materials}/teacher.safetensors")
    built = build_engine(compose("train", overrides))
    assert type(built) is SoftTargets
    assert built.adversarial_weight == 0.15
    assert built.mirrored
    detectors = {"detector_refine", "detector_output"} if losses == "losses=detector" else {}
    assert set(built.teacher_losses.weights) == {"reconstruction", *detectors}


@pytest.mark.usefixtures("quarter_weights")
def test_several_teachers_are_one(materials):
    file = f"{materials}/teacher.safetensors"
    overrides = ["experiment=identity", "engine=soft_targets", "name=test", "out=out"]
    built = build_engine(compose("train", [*overrides, f"engine.teacher=[{file},{file}]"]))
    assert type(built.teacher) is Ensemble
    assert len(built.teacher.networks) == 2


@pytest.mark.parametrize("losses", ["pixel", "balanced", "own_encoder", "paper"])
@pytest.mark.usefixtures("quarter_weights")
def test_every_sum_of_losses_builds(losses, words):
    own = "losses.terms.perceptual.loss.vgg.weights=random" if losses == "own_encoder" else ""
    built = build_engine(compose("train", words(f"losses={losses}", *[own][: len(own)])))
    total, parts = built.losses(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
    assert total > 0
    assert len(parts) == (1 if losses == "pixel" else 2)


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "engine").iterdir()))
def test_every_engine_with_a_discriminator_has_its_learning_rate(name):
    engine = compose("train", [f"engine={name}"]).engine
    assert ("adversarial" in engine) == ("discriminator_rate" in engine)


def test_loggers_that_are_not_installed_are_named(words, monkeypatch):
    from pytorch_lightning.loggers import mlflow, wandb

    for module, flag in ((wandb, "_WANDB_AVAILABLE"), (mlflow, "_MLFLOW_AVAILABLE")):
        monkeypatch.setattr(module, flag, False)
    for name in ("wandb", "mlflow"):
        cfg = compose("train", words(f"logger={name}"))
        assert cfg.logger[name].tracking_uri if name == "mlflow" else cfg.logger[name].project
        with pytest.raises(MissingExtraError, match=f"{name}.*faceskd.loggers"):
            build_trainer(cfg, epochs=1)


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
        (["steps=abc"], "steps as a whole number of at least 1, got 'abc'"),
        (["steps=2.5"], "steps as a whole number of at least 1, got 2.5"),
        (["steps=null"], "steps as a whole number of at least 1, got None"),
        (["data.steps_per_epoch=null"], "data.steps_per_epoch as a whole number"),
        (["data.workers=null"], "data.workers as a whole number"),
        (["seed=abc"], "seed as a whole number of at least 0, got 'abc'"),
        (["seed=-1"], "seed as a whole number of at least 0, got -1"),
        (["threads=0"], "threads as a whole number of at least 1, got 0"),
        (["learning_rate=-1"], "learning_rate as a number above 0, got -1"),
        (["learning_rate=0"], "learning_rate as a number above 0, got 0"),
        (["learning_rate=nan"], "learning_rate as a number above 0, got nan"),
        (["learning_rate=abc"], "learning_rate as a number above 0, got 'abc'"),
        (["engine.optimizer.betas=[2,0.9]"], "engine.optimizer is invalid"),
        (["engine.optimizer.lr=abc"], "engine.optimizer is invalid"),
        (
            ["engine.scheduler.eta_min=abc"],
            "engine.scheduler.eta_min as a number .*abc",
        ),
        (["engine.clip=abc"], "engine.clip as a number above 0, got 'abc'"),
        (["engine.clip=-1"], "engine.clip as a number above 0, got -1"),
        (["losses.terms.reconstruction.weight=abc"], "losses is invalid.*abc"),
        (["model.encoder.width=abc"], "cannot build"),
        (["resume=perhaps"], "resume=true, false or stored, got 'perhaps'"),
        (["data.batch_size=abc"], "data.batch_size as a whole number of at least 1, got 'abc'"),
        (["data.steps_per_epoch=x"], "data.steps_per_epoch as a whole number"),
        (["data.train_limit=0"], "data.train_limit as a whole number of at least 1, got 0"),
        (["data.workers=-1"], "data.workers as a whole number of at least 0, got -1"),
        (["trainer.precision=abc"], "trainer is invalid"),
        (["trainer.max_time=soon"], r"expected trainer\.max_time as .*soon"),
        (["engine.average_decay=often"], "expected average_decay"),
        (["engine.average_decay=1.5"], "expected average_decay"),
        (["+engine.colour=red"], "colour"),
        (["init=/nowhere.safetensors"], "no weights at"),
        (["engine.metrics=[beauty]"], "expected metrics from .*, got 'beauty'"),
        (["experiment=encoder", "init=/nowhere.safetensors"], "init is for networks"),
    ],
    ids=str,
)
def test_impossible_settings_are_one_sentence(run, overrides, sentence):
    with pytest.raises(FaceskdError, match=sentence) as caught:
        run(*overrides)
    assert "\n" not in str(caught.value)


def test_the_learning_rate_is_that_of_every_optimiser(words):
    cfg = compose("train", words("learning_rate=3e-3", "experiment=encoder"))
    assert cfg.engine.optimizer.lr == 3e-3
    assert compose("train").engine.optimizer.lr == 2e-4


def test_an_experiment_has_the_last_word_but_for_the_command_line():
    cfg = compose("train", ["experiment=encoder"])
    assert (cfg.engine.optimizer.lr, cfg.steps) == (1e-3, 3000)
    cfg = compose("train", ["experiment=encoder", "learning_rate=2e-3", "steps=7"])
    assert (cfg.engine.optimizer.lr, cfg.steps) == (2e-3, 7)


def test_fewer_steps_than_an_epoch_are_one_epoch(run, tmp_path):
    run("steps=3", "data.steps_per_epoch=500")
    assert checkpoint(tmp_path / "run")["hyper_parameters"]["metadata"]["steps"] == 3


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
