"""NIQE: against a literal form of the paper, known distributions, and images made worse."""

import math

import numpy as np
import pytest
import scipy.ndimage
import scipy.special
import scipy.stats
import skimage.data
import torch

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.images import luminance, to_tensor
from faceskd.metrics import MetricSuite, MetricUnavailable
from faceskd.metrics.niqe import NiqeModel, asymmetric_gaussian, block_features


def astronaut():
    """A photograph in the public domain, (3, 512, 512)."""
    return to_tensor(skimage.data.astronaut())


def literal_fit(values):
    """Alpha by a search over all shapes, and both betas, one line for each formula."""
    left, right = values[values < 0], values[values > 0]
    deviations = [math.sqrt((side**2).mean()) for side in (left, right)]
    skew = deviations[0] / deviations[1]
    ratio = np.abs(values).mean() ** 2 / (values**2).mean()
    ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shapes = np.arange(0.2, 10.001, 0.001)
    gamma = scipy.special.gamma
    expected = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
    alpha = shapes[np.argmin((expected - ratio) ** 2)]
    scale = math.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
    return alpha, deviations[0] * scale, deviations[1] * scale


def literal_scale(grey):
    """The 18 features of one block."""
    offsets = np.arange(-3, 4)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    mean = scipy.ndimage.correlate(grey, window, mode="nearest")
    variance = scipy.ndimage.correlate(grey**2, window, mode="nearest") - mean**2
    normal = (grey - mean) / (np.sqrt(np.abs(variance)) + 1)
    alpha, left, right = literal_fit(normal.ravel())
    features = [alpha, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        alpha, left, right = literal_fit((normal * np.roll(normal, shift, (0, 1))).ravel())
        gamma = scipy.special.gamma
        features += [alpha, (right - left) * gamma(2 / alpha) / gamma(1 / alpha), left, right]
    return features


def test_features_of_a_block_are_those_of_the_literal_form():
    block = astronaut()[:, 50:146, 180:276]
    grey = luminance(block[None]).double() * 255
    half = torch.nn.functional.interpolate(grey, scale_factor=0.5, mode="bicubic", antialias=True)
    expected = literal_scale(grey[0, 0].numpy()) + literal_scale(half[0, 0].numpy())
    features, _ = block_features(block)
    np.testing.assert_allclose(features[0].numpy(), expected, rtol=0, atol=1.1e-3)


@pytest.mark.parametrize("alpha", [0.6, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("beta", [(1.0, 1.0), (0.5, 2.0)])
def test_parameters_of_known_distributions_are_found(alpha, beta):
    rng = np.random.default_rng(0)
    sizes = np.abs(scipy.stats.gennorm.rvs(alpha, size=400_000, random_state=rng))
    is_left = rng.random(len(sizes)) < beta[0] / sum(beta)
    values = np.where(is_left, -beta[0] * sizes, beta[1] * sizes)
    found = asymmetric_gaussian(torch.from_numpy(values)[None])
    assert [value.item() for value in found] == pytest.approx([alpha, *beta], rel=0.05)


def test_blocks_are_row_by_row_and_a_rest_is_left_out():
    image = astronaut()[:, :200, :310]
    features, sharpness = block_features(image)
    assert features.shape == (2 * 3, 36)
    assert sharpness.shape == (6,)
    alone = block_features(image[:, 96:192, 192:288])
    assert alone[1].item() == pytest.approx(sharpness[5].item(), rel=0.05)  # but for its border
    assert (sharpness[5] - alone[1]).abs() < (sharpness[:5] - alone[1]).abs().min()


def worse(image, how):
    if how == "noise":
        return image + 0.1 * torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    if how == "blur":
        return torch.from_numpy(scipy.ndimage.gaussian_filter(image.numpy(), (0, 2, 2)))
    blocks = torch.nn.functional.avg_pool2d(image[None], 8)  # as strong compression leaves it
    return torch.nn.functional.interpolate(blocks, scale_factor=8)[0]


@pytest.mark.parametrize("how", ["noise", "blur", "blocks"])
def test_a_worse_image_has_a_higher_value(how):
    image = astronaut()
    model = NiqeModel.load()
    assert model.distance(worse(image, how).clamp(0, 1)) > 1.2 * model.distance(image)


def test_an_image_with_the_statistics_of_the_model_has_none():
    image = astronaut()
    features, _ = block_features(image)
    model = NiqeModel(features.mean(0), features.T.cov())
    assert model.distance(image) == pytest.approx(0, abs=1e-6)


def test_a_model_is_fitted_to_sharp_blocks_and_saved(tmp_path):
    image = torch.cat([astronaut(), worse(astronaut(), "blur")], 2)
    features, sharpness = block_features(image)
    sharp = features[sharpness > 0.75 * sharpness.max()]
    assert 2 <= len(sharp) < len(features)
    NiqeModel.fit([image]).save(tmp_path / "niqe.safetensors")
    model = NiqeModel.load(tmp_path / "niqe.safetensors")
    torch.testing.assert_close(model.mean, sharp.mean(0))
    torch.testing.assert_close(model.covariance, sharp.T.cov())


class TestBadInput:
    def test_too_small(self):
        with pytest.raises(MetricUnavailable, match="at least 96x96 px, got 300x95"):
            block_features(torch.rand(3, 95, 300))

    def test_flat(self):
        with pytest.raises(MetricUnavailable, match=r"blocks of 96x96 px that are not flat, got 0"):
            NiqeModel.load().distance(torch.full((3, 192, 192), 0.5))

    def test_nothing_to_fit_to(self):
        with pytest.raises(ConfigError, match="got 0: give more photographs"):
            NiqeModel.fit([])

    def test_another_file(self, tmp_path):
        with pytest.raises(WeightsError, match="no weights at"):
            NiqeModel.load(tmp_path / "none.safetensors")


def test_as_a_metric_it_needs_no_hr_image():
    suite = MetricSuite(["niqe"])
    images = torch.stack([astronaut(), worse(astronaut(), "blur")])[:, :, :256, 100:356]
    suite.update(images, torch.zeros_like(images))
    good, bad = suite.compute().per_image["niqe"]
    assert good < bad
