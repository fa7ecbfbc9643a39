"""CycleGAN: its losses written out, its buffer, its schedule, and trainings of a second."""

from functools import partial

import numpy as np
import pytest
import torch
from helpers.tiny_training import QUICK, assert_same, assert_same_training, checkpoint
from safetensors.torch import load_file

from faceskd.common.config import compose
from faceskd.common.errors import ConfigError
from faceskd.engine import Cycle
from faceskd.engine.image_buffer import ImageBuffer
from faceskd.engine.schedule import LinearSchedule
from faceskd.engine.training import train
from faceskd.landscapes import write_landscapes
from faceskd.losses import L1Loss, LeastSquares, WeightedSum
from faceskd.models import PatchGAN, Student
from faceskd.models.cyclegan import CycleGenerator
from faceskd.models.vgg import VGG19
from faceskd.models.weights import load_network, read_metadata
from faceskd.restore.whole_pictures import Translator

CONFIG = {"_target_": "faceskd.models.cyclegan.CycleGenerator", "width": 2, "blocks": 1}


def make_engine(**options):
    torch.manual_seed(0)
    given = {
        "network": CycleGenerator(width=2, blocks=1),
        "model_config": CONFIG,
        "losses": WeightedSum(terms={"l1": {"weight": 10.0, "loss": L1Loss()}}),
        "optimizer": partial(torch.optim.Adam, lr=1e-3),
        "discriminator": partial(PatchGAN, width=2),
        "adversarial": LeastSquares(),
        "metrics": ("psnr",),
    }
    return Cycle(**given | options)


def test_the_losses_are_those_of_the_paper():
    engine = make_engine(identity_weight=0.5, adversarial_weight=1.0)
    a, b = torch.rand(2, 2, 3, 48, 48)
    total, parts, kept = engine.generator_loss({"a": a, "b": b})
    g, f, of_a, of_b = engine.network, engine.back, *engine.discriminator.values()

    def l1(x, y):
        return (x - y).abs().mean()

    adversarial = (of_b(g(a)) - 1).square().mean() + (of_a(f(b)) - 1).square().mean()
    cycle = 10 * (l1(f(g(a)), a) + l1(g(f(b)), b))
    identity = 10 * (l1(g(b), b) + l1(f(a), a))
    torch.testing.assert_close(total, adversarial + cycle + 0.5 * identity)
    torch.testing.assert_close(parts["identity"], identity)
    expected = 0.5 * sum(
        (judge(real) - 1).square().mean() + judge(fake).square().mean()
        for judge, real, fake in ((of_a, a, f(b)), (of_b, b, g(a)))
    )
    torch.testing.assert_close(engine.discriminator_loss(kept), expected)
    assert not any(fake.requires_grad for fake in kept[1].values())
    total, parts, _ = make_engine(identity_weight=0.0).generator_loss({"a": a, "b": b})
    torch.testing.assert_close(total, adversarial + cycle)
    assert "identity" not in parts


def test_both_generators_and_both_discriminators_are_trained():
    engine = make_engine()
    trained = [
        p for group in engine.configure_optimizers() for p in group.param_groups[0]["params"]
    ]
    parts = (engine.network, engine.back, engine.discriminator)
    assert {id(p) for p in trained} == {id(p) for part in parts for p in part.parameters()}
    first, second = engine.network.state_dict(), engine.back.state_dict()
    assert not any(torch.equal(first[k], second[k]) for k in first if k.endswith("0.weight"))


def test_a_network_of_another_scale_is_refused():
    student = Student(encoder=VGG19(width=2, weights="random"))
    with pytest.raises(ConfigError, match=r"expected a network of scale 1, .* of scale 8"):
        make_engine(network=student)
    with pytest.raises(ConfigError, match=r"engine\.buffer"):
        make_engine(buffer=-1)


def test_the_buffer_shows_earlier_images_half_of_the_time():
    torch.manual_seed(0)
    buffer, number = ImageBuffer(10), torch.arange(400.0).view(-1, 1, 1, 1)
    shown = torch.cat([buffer.exchange(batch) for batch in number.split(4)]).flatten()
    torch.testing.assert_close(shown[:8], torch.arange(8.0))
    assert len(buffer.images) == 10
    new = shown[10:] == torch.arange(10.0, 400.0)
    assert 0.4 < new.float().mean() < 0.6
    assert (shown <= torch.arange(400.0)).all()
    left = {int(image) for image in buffer.images}
    once, times = shown.unique(return_counts=True)
    assert times[once < 10].max() <= 2 and times[once >= 10].max() == 1
    assert not left & {int(n) for n in once if n >= 10}  # what was shown is no longer kept
    assert torch.equal(ImageBuffer(0).exchange(number), number)


def test_the_learning_rate_is_constant_and_then_falls_to_zero():
    def rates(schedule, steps):
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.8)
    schedule = LinearSchedule(optimizer, steps=8)
    wanted = [0.8, 0.8, 0.8, 0.8, 0.8, 0.6, 0.4, 0.2]
    assert rates(schedule, 8) == pytest.approx(wanted)
    assert optimizer.param_groups[0]["lr"] == 0
    longer = LinearSchedule(optimizer, steps=16)
    longer.load_state_dict(schedule.state_dict())
    assert rates(longer, 3) == pytest.approx([0.8, 0.7, 0.6])
    for wrong in ({"steps": 0}, {"steps": 4, "constant": 1}, {"steps": 4, "constant": "half"}):
        with pytest.raises(ConfigError, match=r"engine\.scheduler"):
            LinearSchedule(optimizer, **wrong)


@pytest.fixture(scope="module")
def landscapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("landscapes")
    write_landscapes(folder, count=3, val_count=1, size=64, processes=1)
    return folder


@pytest.fixture
def run(landscapes, tmp_path):
    def start(*overrides, out="run"):
        words = [*QUICK, "experiment=seasons", f"out={tmp_path / out}", "data.size=64"]
        words += ["model.width=2", "model.blocks=1", "engine.discriminator.width=2"]
        words += ["engine.metrics=[psnr]", "engine.buffer=3"]
        words += [
            f"data.{key}={landscapes}/train/{of}" for key, of in (("a", "day"), ("b", "night"))
        ]
        words += [
            f"data.val_{key}={landscapes}/val/{of}" for key, of in (("a", "day"), ("b", "night"))
        ]
        return train(compose("train", [*words, *overrides]))

    return start


def test_it_trains_a_few_steps_and_writes_both_directions(run, tmp_path):
    trained = run("data.val_paired=true", "steps=2")
    assert trained.steps == 2 and np.isfinite(trained.metrics["val/psnr"])
    paths = tmp_path / "run" / "weights.safetensors", tmp_path / "run" / "weights_back.safetensors"
    assert trained.weights == paths[0]
    assert [read_metadata(path)["translation"] for path in paths] == ["a to b", "b to a"]
    networks = [load_network(path) for path in paths]
    picture = torch.rand(1, 3, 40, 64)
    assert [network.scale for network in networks] == [1, 1]
    assert not torch.equal(*(network(picture) for network in networks))
    (stored,) = (tmp_path / "run").rglob("*.ckpt")
    assert read_metadata(stored)["translation"] == "a to b"
    Translator(stored)
    continued = run(f"init={paths[0]}", f"engine.back_init={paths[1]}", "steps=2", out="next")
    assert np.isfinite(continued.metrics["val/psnr"])


def test_a_training_in_slices_is_the_whole_one(run, tmp_path):
    """The buffers are full after the first slice, so later steps draw from them."""
    run("steps=6", out="whole")
    for _ in range(3):
        run("steps=6", "trainer.max_time=00:00:00:00", out="sliced")
    assert_same_training(tmp_path / "whole", tmp_path / "sliced")
    buffers = [checkpoint(tmp_path / name)["image_buffers"] for name in ("whole", "sliced")]
    assert [len(images) for images in buffers[0].values()] == [3, 3]
    for name, images in buffers[0].items():
        assert all(torch.equal(*pair) for pair in zip(images, buffers[1][name], strict=True))
    for file in ("weights.safetensors", "weights_back.safetensors"):
        assert_same(*(load_file(tmp_path / name / file) for name in ("whole", "sliced")))


def test_pictures_show_both_directions(landscapes):
    columns = make_engine().pictures({"a": torch.rand(2, 3, 32, 32), "b": torch.rand(2, 3, 32, 32)})
    assert list(columns) == ["A", "A to B", "A to B to A", "B", "B to A", "B to A to B"]
    assert all(images.shape == (2, 3, 32, 32) for images in columns.values())
