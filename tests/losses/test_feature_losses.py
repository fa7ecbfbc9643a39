"""Losses of discriminators' scores and of feature maps, each against its literal form."""

import numpy as np
import pytest
import torch
from torch import nn

from faceskd.common.errors import ConfigError
from faceskd.losses import FeatureDistillation, Hinge, LeastSquares
from faceskd.losses.cross_entropy import CrossEntropy
from faceskd.models import FeatureDiscriminators, FeatureInfo

INFO = [FeatureInfo(8, 8), FeatureInfo(4, 4), FeatureInfo(2, 2), FeatureInfo(1, 1)]


def maps(channels, seed, size=4, batch=2):
    """Feature maps of four levels."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, count, size << index, size << index, generator=generator)
        for index, count in enumerate(channels)
    ]


# Adversarial losses, over the scores of two discriminators.


@pytest.fixture
def scores():
    real, fake = maps((1, 1), 3), maps((1, 1), 4)
    return real, fake


def arrays(scores):
    return [score.double().numpy() for score in scores]


def test_least_squares_is_eq_6_and_7(scores):
    real, fake = scores
    generator = sum(np.mean((f - 1) ** 2) for f in arrays(fake))
    discriminator = sum(
        np.mean((r - 1) ** 2) + np.mean(f**2)
        for r, f in zip(arrays(real), arrays(fake), strict=True)
    )
    assert LeastSquares().generator(fake).item() == pytest.approx(generator, rel=1e-5)
    assert LeastSquares().discriminator(real, fake).item() == pytest.approx(discriminator, rel=1e-5)


def test_hinge_is_its_equation(scores):
    real, fake = scores
    generator = sum(-np.mean(f) for f in arrays(fake))
    discriminator = sum(
        np.mean(np.maximum(0, 1 - r)) + np.mean(np.maximum(0, 1 + f))
        for r, f in zip(arrays(real), arrays(fake), strict=True)
    )
    assert Hinge().generator(fake).item() == pytest.approx(generator, rel=1e-5)
    assert Hinge().discriminator(real, fake).item() == pytest.approx(discriminator, rel=1e-5)


@pytest.mark.parametrize("loss", [LeastSquares(), Hinge()], ids=["lsgan", "hinge"])
def test_a_discriminator_that_is_right_has_no_loss(loss):
    ones = [torch.ones(2, 1, 4, 4)]
    fooled = -ones[0] if isinstance(loss, Hinge) else torch.zeros(2, 1, 4, 4)
    assert loss.discriminator(ones, [fooled]).item() == 0
    assert loss.generator(ones) < loss.generator([fooled])


@pytest.mark.parametrize("loss", [LeastSquares(), Hinge(), CrossEntropy()])
def test_scores_of_another_number_of_discriminators_are_a_mistake(loss, scores):
    real, fake = scores
    with pytest.raises(ValueError, match="zip"):
        loss.discriminator(real, fake[:1])


def test_feature_discriminators_give_one_map_a_scale():
    features = maps((8, 4, 2, 1), 5)
    scores = FeatureDiscriminators(channels=(8, 4, 2, 1), width=4)(features)
    assert [tuple(score.shape) for score in scores] == [(2, 1, s, s) for s in (1, 2, 4, 8)]


# Distillation.


def literal_distance(student, teacher):
    return sum(np.mean((s - t) ** 2) for s, t in zip(arrays(student), arrays(teacher), strict=True))


def test_distillation_of_equal_widths_is_eq_6():
    student, teacher = maps((8, 4, 2, 1), 6), maps((8, 4, 2, 1), 7)
    loss = FeatureDistillation(student=INFO, teacher=INFO)
    value = loss(loss.adapt(student), loss.choose(teacher))
    assert value.item() == pytest.approx(literal_distance(student, teacher), rel=1e-5)
    assert loss(loss.adapt(teacher), loss.choose(teacher)).item() == 0
    assert not list(loss.parameters())


@pytest.mark.parametrize("levels", [(3,), (0,), (1, 2), (3, 0)])
def test_distillation_of_some_scales(levels):
    student, teacher = maps((8, 4, 2, 1), 6), maps((8, 4, 2, 1), 7)
    loss = FeatureDistillation(student=INFO, teacher=INFO, levels=levels)
    value = loss(loss.adapt(student), loss.choose(teacher))
    chosen = [[features[level] for level in levels] for features in (student, teacher)]
    assert value.item() == pytest.approx(literal_distance(*chosen), rel=1e-5)


def test_adapters_only_where_widths_differ():
    wide = [FeatureInfo(16, 8), FeatureInfo(4, 4), FeatureInfo(6, 2), FeatureInfo(1, 1)]
    loss = FeatureDistillation(student=INFO, teacher=wide)
    assert [type(adapter) for adapter in loss.adapters] == [
        nn.Conv2d, nn.Identity, nn.Conv2d, nn.Identity,
    ]  # fmt: skip
    assert loss.adapters[0].weight.shape == (16, 8, 1, 1)
    student, teacher = maps((8, 4, 2, 1), 6), maps((16, 4, 6, 1), 7)
    adapted = loss.adapt(student)
    weight, bias = loss.adapters[0].weight[:, :, 0, 0], loss.adapters[0].bias
    literal = torch.einsum("oc,bchw->bohw", weight, student[0]) + bias[:, None, None]
    torch.testing.assert_close(adapted[0], literal)
    loss(adapted, loss.choose(teacher)).backward()
    assert all(parameter.grad is not None for parameter in loss.parameters())


def test_a_standardised_teacher_counts_each_channel_alike():
    teacher = [100 * map + 7 for map in maps((8, 4, 2, 1), 7)]
    loss = FeatureDistillation(student=INFO, teacher=INFO, standardise=True)
    for chosen, given in zip(loss.choose(teacher), arrays(teacher), strict=True):
        axes = (0, 2, 3)
        mean, variance = given.mean(axes, keepdims=True), given.var(axes, keepdims=True)
        literal = (given - mean) / np.sqrt(variance + 1e-5)
        np.testing.assert_allclose(chosen.numpy(), literal, rtol=1e-3, atol=1e-4)
    assert all(isinstance(adapter, nn.Conv2d) for adapter in loss.adapters)
    zero = [torch.zeros_like(map) for map in teacher]
    assert loss(zero, loss.choose(teacher)).item() == pytest.approx(4, rel=1e-3)


def test_maps_of_another_number_of_levels_are_a_mistake():
    student, teacher = maps((8, 4, 2, 1), 6), maps((8, 4, 2, 1), 7)
    loss = FeatureDistillation(student=INFO, teacher=INFO)
    for few, many in ((student[:3], teacher), (student, teacher[:3])):
        with pytest.raises(ValueError, match="zip"):
            loss(few, many)


@pytest.mark.parametrize("levels", [(4,), (-1,), (0, 7)])
def test_scales_that_do_not_exist_are_refused(levels):
    with pytest.raises(ConfigError, match="expected levels from 0 to 3"):
        FeatureDistillation(student=INFO, teacher=INFO, levels=levels)


def test_no_scale_and_a_scale_twice_are_refused():
    for levels in ((), (1, 1)):
        with pytest.raises(ConfigError, match="expected at least one level, each once"):
            FeatureDistillation(student=INFO, teacher=INFO, levels=levels)


def test_maps_of_other_resolution_are_refused():
    other = [FeatureInfo(8, 8), FeatureInfo(4, 8), FeatureInfo(2, 2), FeatureInfo(1, 1)]
    with pytest.raises(ConfigError, match="expected the same stride for feature map 1"):
        FeatureDistillation(student=other, teacher=INFO)
