"""Losses, each by kornia's grid: smoke, errors, perfect prediction, gradients, literal form."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import nn

from faceskd.common.errors import ConfigError
from faceskd.losses import (
    BlockDistribution,
    Charbonnier,
    InBox,
    L1Loss,
    MSELoss,
    PerceptualLoss,
    WeightedSum,
)
from faceskd.losses.perceptual import unit_distance
from faceskd.models import VGG19

TAPS = ("relu1_1", "relu2_1", "relu3_1")


def perceptual():
    torch.manual_seed(0)
    return PerceptualLoss(vgg=VGG19(width=2, taps=TAPS, pooling="avg", weights="random"))


IMAGE_LOSSES = {
    "l1": L1Loss,
    "mse": MSELoss,
    "charbonnier": Charbonnier,
    "perceptual": perceptual,
    "block_distribution": partial(BlockDistribution, block=4),
    "in_box": partial(InBox, box=[1, 0, 8, 6], loss=L1Loss(), side=16),
}


@pytest.fixture(params=IMAGE_LOSSES)
def loss(request):
    return IMAGE_LOSSES[request.param]()


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 2, 3, 16, 16, generator=generator)


# Every loss of images.


def test_smoke(loss, images):
    value = loss(*images)
    assert value.shape == ()
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert value > 0


@pytest.mark.parametrize(("batch", "size"), [(1, 16), (3, 24)])
def test_cardinality(loss, batch, size):
    side = getattr(loss, "side", size)  # a box is for faces of one size
    assert loss(torch.zeros(batch, 3, side, side), torch.ones(batch, 3, side, side)).ndim == 0


def test_perfect_prediction(loss, images):
    floor = loss.eps if isinstance(loss, Charbonnier) else 0
    assert loss(images[0], images[0]).item() == pytest.approx(floor, abs=1e-7)


def test_half_precision_is_summed_in_float32(loss, images):
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(*images)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(*images).item(), rel=0.05)


def test_gradcheck(loss):
    generator = torch.Generator().manual_seed(2)
    side = getattr(loss, "side", 8)
    hr = torch.rand(1, 3, side, side, generator=generator)
    sr = hr + 0.3 + 0.2 * torch.rand(1, 3, side, side, generator=generator)
    sr.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(sr, hr), sr)
    direction = torch.randn(1, 3, side, side, generator=generator)
    step = 2e-3
    with torch.no_grad():
        slope = (loss(sr + step * direction, hr) - loss(sr - step * direction, hr)) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(slope.item(), rel=0.03, abs=2e-3)


def test_pixel_losses_are_their_equations(images):
    sr, hr = images.numpy().astype(np.float64)
    error = sr - hr
    expected = {
        L1Loss(): np.abs(error).mean(),
        MSELoss(): np.square(error).mean(),
        MSELoss(value_range=2.0): np.square(2 * error).mean(),
        MSELoss(pool=4): np.square(error.reshape(2, 3, 4, 4, 4, 4).mean((3, 5))).mean(),
        Charbonnier(eps=0.05): np.sqrt(np.square(error) + 0.05**2).mean(),
    }
    for loss, value in expected.items():
        assert loss(*images).item() == pytest.approx(value, rel=1e-5)


# The perceptual loss.


def test_perceptual_is_its_literal_loop(images):
    loss = perceptual()
    sr, hr = images
    total = 0.0
    with torch.no_grad():
        for made, true in zip(loss.vgg(sr), loss.vgg(hr), strict=True):
            made, true = made.double().numpy(), true.double().numpy()
            total += np.abs(made - true).mean() / np.abs(true).mean() / len(TAPS)
    assert loss(sr, hr).item() == pytest.approx(total, rel=1e-4)


def test_absolute_distance_is_eq_5_as_printed(images):
    vgg = perceptual().vgg
    with torch.no_grad():
        pairs = list(zip(*(vgg(image) for image in images), strict=True))
    total = sum((made.double() - true.double()).abs().mean().item() for made, true in pairs)
    loss = PerceptualLoss(vgg=vgg, distance="absolute", weights=[1.0] * len(TAPS))
    assert loss(*images).item() == pytest.approx(total, rel=1e-4)


def test_unit_distance_is_eq_1_of_lpips(images):
    vgg = perceptual().vgg
    total = 0.0
    with torch.no_grad():
        for maps_of in zip(*(vgg(image) for image in images), strict=True):
            made, true = (
                m / np.sqrt(np.square(m).sum(axis=1, keepdims=True) + 1e-6)
                for m in (m.double().numpy() for m in maps_of)
            )
            total += np.square(made - true).sum(axis=1).mean() / len(TAPS)
    loss = PerceptualLoss(vgg=vgg, distance="unit")
    assert loss(*images).item() == pytest.approx(total, rel=1e-4)
    assert loss(images[0], images[0]).item() == 0


def test_unit_distance_has_a_gradient_where_features_are_zero():
    feature = torch.zeros(1, 3, 2, 2, requires_grad=True)
    unit_distance(feature, torch.ones(1, 3, 2, 2)).backward()
    assert torch.isfinite(feature.grad).all()


def test_an_unknown_distance_is_refused():
    with pytest.raises(ConfigError, match="of absolute, relative, unit, squared, got 'lpips'"):
        PerceptualLoss(vgg=VGG19(width=1, taps=TAPS, weights="random"), distance="lpips")


def test_perceptual_weighs_taps(images):
    vgg = perceptual().vgg
    singles = [
        PerceptualLoss(vgg=vgg, weights=weights)(*images).item()
        for weights in ([1, 0, 0], [0, 1, 0], [0, 0, 1])
    ]
    total = PerceptualLoss(vgg=vgg, weights=[1.0, 2.0, 3.0])(*images).item()
    assert total == pytest.approx(np.dot(singles, [1, 2, 3]), rel=1e-5)


def test_perceptual_does_not_depend_on_the_scale_of_features(images):
    loss = perceptual()
    before = loss(*images).item()
    for name, conv in loss.vgg.convs.items():
        conv.bias.data.mul_(7.0 if name == "1_1" else 1.0)
        conv.weight.data.mul_(7.0 if name == "1_1" else 1.0)
    assert loss(*images).item() == pytest.approx(before, rel=1e-4)  # biases are zero at first


def test_perceptual_is_frozen_and_hr_gets_no_gradient(images):
    loss = perceptual()
    sr, hr = (image.clone().requires_grad_() for image in images)
    loss(sr, hr).backward()
    assert sr.grad.abs().sum() > 0
    assert hr.grad is None
    assert not any(p.requires_grad for p in loss.parameters())
    assert not loss.vgg.training


def test_perceptual_refuses_a_wrong_number_of_weights():
    with pytest.raises(ConfigError, match="expected 3 weights, one per tap, got 2"):
        PerceptualLoss(vgg=VGG19(width=1, taps=TAPS, weights="random"), weights=[1.0, 1.0])


@pytest.mark.parametrize("crop", [16, 40])
def test_perceptual_loss_of_a_window(crop):
    vgg = VGG19(width=4, taps=["relu1_1", "relu2_1"], weights="random")
    sr, hr = torch.rand(2, 3, 40, 40), torch.rand(2, 3, 40, 40)
    torch.manual_seed(3)
    value = PerceptualLoss(vgg=vgg, crop=crop)(sr, hr)
    torch.manual_seed(3)
    offsets = [0, 0] if crop == 40 else [int(torch.randint(40 - crop + 1, ())) for _ in range(2)]
    top, left = offsets
    windows = [image[..., top : top + crop, left : left + crop] for image in (sr, hr)]
    torch.testing.assert_close(value, PerceptualLoss(vgg=vgg)(*windows))


def test_perceptual_loss_of_blocks_is_that_of_a_smaller_image(images):
    vgg = VGG19(width=4, taps=["relu1_1", "relu2_1"], weights="random")
    halves = images.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).mean((-3, -1))
    loss = PerceptualLoss(vgg=vgg, pool=2)
    torch.testing.assert_close(loss(*images), PerceptualLoss(vgg=vgg)(*halves))


@pytest.mark.parametrize("setting", [{"crop": 0}, {"crop": -64}, {"pool": 0}, {"pool": 1.5}])
def test_perceptual_refuses_a_crop_or_pool_below_1(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=f"expected {name} as a whole number of at least 1"):
        PerceptualLoss(vgg=VGG19(width=1, taps=TAPS, weights="random"), **setting)


def test_perceptual_loss_looks_between_eyes_and_mouth_as_often_as_told():
    face = torch.rand(1, 3, 64, 64)
    other = face.clone()
    other[..., 25:49, 20:44] = 0.5  # a window of 24 px around (0.5, 0.58) of 64
    vgg = VGG19(width=2, taps=["relu1_1"], weights="random")
    torch.manual_seed(0)
    focused, anywhere, half = (
        [PerceptualLoss(vgg=vgg, crop=24, focus=share)(other, face).item() for _ in range(60)]
        for share in (1.0, 0.0, 0.5)
    )
    assert np.ptp(focused) == 0
    assert max(anywhere) < focused[0]
    assert 18 < sum(value == focused[0] for value in half) < 42
    with pytest.raises(ConfigError, match=r"focus=0\.5 needs a crop"):
        PerceptualLoss(vgg=vgg, focus=0.5)


# Levels, wherever they lie.


def test_block_distribution_is_the_mean_squared_cost_of_the_best_transport(images):
    distances = []
    for sr, hr in zip(*images.unfold(-2, 4, 4).unfold(-2, 4, 4).flatten(1, 4), strict=True):
        cost = np.square(np.subtract.outer(sr.flatten().numpy(), hr.flatten().numpy()))
        distances.append(cost[optimize.linear_sum_assignment(cost)].mean())
    loss = BlockDistribution(block=4)(*images)
    assert loss.item() == pytest.approx(np.mean(distances), rel=1e-5)


def test_block_distribution_minds_levels_and_not_their_places(images):
    hr = images[1]
    assert BlockDistribution(block=8)(hr.flip(-1)[..., :8], hr[..., 8:]).item() == 0


def test_block_distribution_of_squares_does_not_see_dots():
    dots = torch.zeros(1, 3, 16, 16)
    dots[..., ::2, ::2] = dots[..., 1::2, 1::2] = 1
    grey = torch.full((1, 3, 16, 16), 0.5)
    assert BlockDistribution(pool=2)(dots, grey).item() == 0
    assert BlockDistribution()(dots, grey).item() == 0.25
    with pytest.raises(ConfigError, match="multiple of pool=3, got 16 px"):
        BlockDistribution(pool=3)


def test_an_image_of_broken_blocks_is_refused():
    with pytest.raises(ConfigError, match="multiples of 16 px, got 20x16 pixels"):
        BlockDistribution()(torch.rand(1, 3, 16, 20), torch.rand(1, 3, 16, 20))


# A part of the face.


def test_a_loss_in_a_box_is_that_of_the_box(images):
    sr, hr = images
    boxed = InBox(box=[8, 4, 16, 8], loss=L1Loss(), side=16)
    torch.testing.assert_close(boxed(sr, hr), (sr - hr)[..., 4:8, 8:16].abs().mean())


@pytest.mark.parametrize("box", [[8, 4, 8, 8], [8, 8, 16, 4], [-1, 0, 4, 4], [0, 0, 4, 257]])
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(ConfigError, match=r"a box \[left, top, right, bottom\], not empty"):
        InBox(box=box, loss=L1Loss())


@pytest.mark.parametrize(("height", "width"), [(16, 11), (12, 12), (32, 32)])
def test_faces_that_the_box_is_not_for_are_refused(height, width):
    boxed, image = InBox(box=[4, 2, 12, 8], loss=L1Loss(), side=16), torch.rand(1, 3, 32, 32)
    boxed(image[..., :16, :16], image[..., :16, :16])
    refused = rf"16x16 pixels, .* box \[4, 2, 12, 8\] is for, got {width}x{height}"
    with pytest.raises(ConfigError, match=refused):
        boxed(image[..., :height, :width], image[..., :height, :width])


# Their sum.


def test_weighted_sum_is_the_sum_of_its_parts(images):
    terms = {
        "a": {"weight": 100.0, "loss": L1Loss()},
        "b": {"weight": 20.0, "loss": MSELoss()},
        "off": {"weight": 0.0, "loss": nn.Identity()},
        "none": None,
    }
    total, parts = WeightedSum(terms=terms)(*images)
    assert set(parts) == {"a", "b"}
    expected = 100 * L1Loss()(*images) + 20 * MSELoss()(*images)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(parts["a"], L1Loss()(*images))


def test_a_sum_of_nothing_is_zero(images):
    total, parts = WeightedSum(terms={})(*images)
    assert total.item() == 0
    assert parts == {}


def test_losses_rank_a_worse_image_lower(loss, images):
    hr = images[0]
    noise = torch.randn(hr.shape, generator=torch.Generator().manual_seed(8))
    values = [loss(hr + amount * noise, hr).item() for amount in (0.01, 0.05, 0.2)]
    assert all(near < far for near, far in itertools.pairwise(values))
