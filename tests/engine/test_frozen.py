"""Frozen parts, however deep: untrained, in eval mode, in no checkpoint and in no optimiser."""

import pytest
import torch
from helpers.tiny_engines import ADAM, fit, make_engine, make_teacher, weights
from pytorch_lightning.callbacks import ModelCheckpoint

from faceskd.common.errors import WeightsError
from faceskd.engine import EncoderDistillation
from faceskd.losses import PerceptualLoss
from faceskd.models import VGG19, ProjectedDiscriminator
from faceskd.models.frozen import frozen_parts
from faceskd.models.gan_discriminators import (
    ImageAndFeatureDiscriminator,
    SRFeatFeatureDiscriminator,
    SRGANDiscriminator,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step`", "ignore:Found .* in eval mode"
)
TAPS = ("relu1_1", "relu2_1")


def vgg(*taps):
    return VGG19(width=2, taps=taps, weights="random")


def projected():
    return ProjectedDiscriminator(vgg=vgg(*TAPS), width=2, layers=2)


def image_and_feature():
    return ImageAndFeatureDiscriminator(
        image=SRGANDiscriminator(image_size=64, width=2, hidden=4),
        feature=SRFeatFeatureDiscriminator(channels=16, feature_size=4, width=2, hidden=4),
        vgg=vgg("relu5_1"),
    )


def adversarial(discriminator, **options):
    torch.manual_seed(0)
    loss = PerceptualLoss(vgg=vgg("relu1_1"))
    engine = make_engine("adversarial", loss=loss, **options)
    engine.discriminator = discriminator
    return engine


def encoder_distillation():
    torch.manual_seed(0)
    return EncoderDistillation(encoder=vgg(*TAPS), target=vgg(*TAPS), optimizer=ADAM, crop=32)


CASES = {
    "projected": (lambda: adversarial(projected()), {"discriminator.vgg", "losses"}),
    "image and feature": (
        lambda: adversarial(image_and_feature()),
        {"discriminator.vgg", "losses"},
    ),
    "distillation": (lambda: make_engine("distillation"), {"teacher", "losses"}),
    "soft targets": (
        lambda: make_engine("soft_targets"),
        {"teacher", "teacher_losses", "losses"},
    ),
    "encoder": (encoder_distillation, {"target"}),
}


@pytest.mark.parametrize("case", CASES)
def test_frozen_parts(case, batch, tmp_path):
    make, names = CASES[case]
    engine = make()
    parts = frozen_parts(engine)
    assert {name for name in parts if name in names} == names
    before = {name: weights(parts[name]) for name in names}
    modes = {name: set() for name in names}
    for name in names:
        parts[name].register_forward_pre_hook(
            lambda part, _, seen=modes[name]: seen.update(m.training for m in part.modules())
        )
    saver = ModelCheckpoint(dirpath=tmp_path, filename="last")
    trainer = fit(
        engine, batch, 2, epochs=2, validate=True, enable_checkpointing=True, callbacks=[saver]
    )

    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    prefixes = tuple(f"{name}." for name in names)
    assert not [key for key in content["state_dict"] if key.startswith(prefixes)]
    optimised = {id(p) for o in trainer.optimizers for g in o.param_groups for p in g["params"]}
    for name in names:
        part = parts[name]
        assert not modes[name] - {False}, name
        assert not any(module.training for module in part.modules())
        for key, value in part.named_parameters():
            assert id(value) not in optimised, f"{name}.{key}"
            assert not value.requires_grad and value.grad is None
            assert torch.equal(value, before[name][key])
    engine.on_load_checkpoint(content)
    assert content["state_dict"].keys() == engine.state_dict().keys()


def test_a_networks_own_frozen_part_is_in_its_checkpoint(batch, tmp_path):
    """A teacher is loaded from a checkpoint alone."""
    engine = make_engine("supervised", network=make_teacher())
    saver = ModelCheckpoint(dirpath=tmp_path, filename="last")
    trainer = fit(engine, batch, 1, enable_checkpointing=True, callbacks=[saver])
    keys = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"].keys()
    assert {key for key in keys if key.startswith("network.encoder.")}
    optimised = {id(p) for group in trainer.optimizers[0].param_groups for p in group["params"]}
    assert not any(id(p) in optimised for p in engine.network.encoder.parameters())


def test_a_checkpoint_of_release_0_1_that_has_a_frozen_part_is_loaded(batch, tmp_path):
    engine = adversarial(projected())
    saver = ModelCheckpoint(dirpath=tmp_path, filename="last")
    fit(engine, batch, 1, enable_checkpointing=True, callbacks=[saver])
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    own = engine.state_dict()
    old = {
        key: torch.zeros_like(v) for key, v in own.items() if key.startswith("discriminator.vgg")
    }
    assert old
    content["state_dict"] |= old
    engine.on_load_checkpoint(content)
    assert all(torch.equal(content["state_dict"][key], own[key]) for key in old)


def test_a_checkpoint_with_numbers_that_are_none_is_refused(batch, tmp_path):
    engine = make_engine("supervised")
    saver = ModelCheckpoint(dirpath=tmp_path, filename="last")
    fit(engine, batch, 1, enable_checkpointing=True, callbacks=[saver])
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    content["state_dict"]["network.decoder.head.0.bias"][0] = float("nan")
    with pytest.raises(WeightsError, match=r"network\.decoder\.head\.0\.bias"):
        engine.on_load_checkpoint(content)
