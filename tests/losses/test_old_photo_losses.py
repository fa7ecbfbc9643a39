"""Losses of old photo restoration: literal forms, perfect prediction, gradients, errors."""

import math

import pytest
import torch
import torch.nn.functional as F

from faceskd.common.errors import ConfigError
from faceskd.losses import DiceLoss, FocalLoss
from faceskd.losses.feature_matching import discriminator_features, feature_matching
from faceskd.models import MultiScaleDiscriminator


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(2, 1, 4, 5, generator=generator)
    return logits, (torch.rand(2, 1, 4, 5, generator=generator) < 0.3).float()


@pytest.mark.parametrize(("gamma", "balance"), [(2.0, None), (0.5, 0.75), (0.0, 0.25)])
def test_focal_loss_is_its_equation(pair, gamma, balance):
    terms = []
    for x, m in zip(pair[0].flatten().tolist(), pair[1].flatten().tolist(), strict=True):
        share = 1 / (1 + math.exp(-x))
        p = share if m else 1 - share
        weight = 1 if balance is None else (balance if m else 1 - balance)
        terms.append(-weight * (1 - p) ** gamma * math.log(p))
    came = FocalLoss(gamma=gamma, balance=balance)(*pair)
    assert came.item() == pytest.approx(sum(terms) / len(terms), rel=1e-5)


def test_focal_loss_without_focus_is_the_cross_entropy(pair):
    expected = F.binary_cross_entropy_with_logits(*pair)
    torch.testing.assert_close(FocalLoss(gamma=0)(*pair), expected)


@pytest.mark.parametrize("logit", [20.0, 100.0, -20.0, -100.0])
def test_the_slope_of_the_focal_loss_is_finite_where_it_is_certain(logit):
    """With gamma below 1 the power has an infinite slope at 0."""
    x = torch.full((1, 1, 1, 1), logit, requires_grad=True)
    FocalLoss(gamma=0.5)(x, torch.ones_like(x)).backward()
    wrong = 1 / (1 + math.exp(logit))
    exact = wrong**0.5 * ((1 - wrong) * 0.5 * math.log1p(-wrong) - wrong) if wrong < 1 else -1.0
    assert x.grad.item() == pytest.approx(exact, rel=1e-4, abs=1e-9)


def test_dice_loss_is_its_equation(pair):
    p, m = torch.sigmoid(pair[0]), pair[1]
    expected = 1 - (2 * (p * m).sum() + 1) / (p.sum() + m.sum() + 1)
    torch.testing.assert_close(DiceLoss()(*pair), expected)


@pytest.mark.parametrize("loss", [FocalLoss(), DiceLoss()])
def test_a_perfect_mask_costs_nothing_and_gradients_are_right(loss, pair):
    logits, mask = pair
    assert loss(200 * (mask - 0.5), mask).item() == pytest.approx(0, abs=1e-6)
    assert loss(torch.full_like(logits, -100), 0 * mask).item() == pytest.approx(0, abs=1e-6)
    assert loss(200 * (0.5 - mask), mask) > 0.5
    logits = logits.clone().requires_grad_()
    loss(logits, mask).backward()
    step = 1e-2
    for place in ((0, 0, 1, 1), (1, 0, 3, 4)):
        up, down = logits.detach().clone(), logits.detach().clone()
        up[place] += step
        down[place] -= step
        slope = (loss(up, mask) - loss(down, mask)) / (2 * step)
        assert logits.grad[place].item() == pytest.approx(slope.item(), rel=0.02, abs=2e-4)


def test_settings_that_make_no_sense():
    for options in ({"gamma": -1}, {"balance": 1.5}):
        with pytest.raises(ConfigError, match="expected gamma of at least 0 and balance"):
            FocalLoss(**options)


def test_feature_matching_is_its_equation():
    torch.manual_seed(0)
    judge = MultiScaleDiscriminator(scales=2, width=2, layers=2).eval()
    sr, target = torch.rand(2, 2, 3, 32, 32).unbind()
    terms = []
    for number, layers in enumerate(judge.discriminators):
        a, b = (F.avg_pool2d(x, 2**number) for x in (sr, target))
        for index in range(0, 4, 2):  # convolution and activation, twice
            a, b = (layers[index + 1](layers[index](x)) for x in (a, b))
            terms.append((a - b).abs().mean())
    torch.testing.assert_close(feature_matching(judge, sr, target), sum(terms) / 2)
    assert len(discriminator_features(judge, sr)) == 4
    assert feature_matching(judge, sr, sr) == 0


def test_feature_matching_has_gradients_for_the_restored_image_only():
    judge = MultiScaleDiscriminator(scales=1, width=2, layers=2)
    sr, target = (torch.rand(1, 3, 16, 16, requires_grad=True) for _ in range(2))
    feature_matching(judge, sr, target).backward()
    assert sr.grad.any() and target.grad is None
