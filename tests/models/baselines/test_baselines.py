"""Baselines at x8: their size and the contract of every one, and that each can learn."""

import math

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate

from faceskd.common.config import compose_model
from faceskd.models.base import SuperResolver

MILLION_PARAMETERS = {
    "srresnet": 1.7,
    "srfeat": 6.8,
    "rdn": 22.4,
    "rcan": 15.7,
    "dbpn": 23.2,
    "rrdb": 16.7,
    "hifacegan": 130.6,
}
NARROW = [f"{name}_narrow" for name in MILLION_PARAMETERS]
INTERPOLATIONS = ["nearest", "bilinear", "bicubic", "lanczos"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def build(name: str) -> SuperResolver:
    return instantiate(compose_model(name))


def test_full_size_has_the_parameters_of_its_paper() -> None:
    for name, millions in MILLION_PARAMETERS.items():
        with torch.device("meta"):
            network = build(name)
            sr, features = network.forward_features(torch.rand(2, 3, 32, 32))
        count = sum(parameter.numel() for parameter in network.parameters())
        assert count == pytest.approx(millions * 1e6, rel=0.02), name
        assert sr.shape == (2, 3, 256, 256)
        shapes = [(2, channels, 256 // s, 256 // s) for channels, s in network.feature_info]
        assert [feature.shape for feature in features] == shapes, name


@pytest.mark.parametrize("name", [*NARROW, *INTERPOLATIONS])
@pytest.mark.parametrize("size", [(1, 8, 8), (3, 5, 7)])
def test_shapes(name: str, size: tuple[int, int, int]) -> None:
    batch, height, width = size
    network = build(name)
    assert not network.needs_boxes
    sr, features = network.forward_features(torch.rand(batch, 3, height, width))
    assert sr.shape == (batch, 3, 8 * height, 8 * width)
    assert sr.isfinite().all()
    assert len(features) == len(network.feature_info)
    for feature, (channels, stride) in zip(features, network.feature_info, strict=True):
        sides = (math.ceil(8 * height / stride), math.ceil(8 * width / stride))
        assert feature.shape == (batch, channels, *sides)
        assert feature.isfinite().all()


@pytest.mark.parametrize("name", NARROW)
def test_gradients_reach_every_parameter(name: str) -> None:
    network = build(name)
    (network(torch.rand(2, 3, 8, 8)) - torch.rand(2, 3, 64, 64)).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), f"no gradient for {key}"
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", NARROW)
def test_eval_is_deterministic_and_a_state_dict_is_all_there_is(name: str) -> None:
    network, other = build(name), build(name)
    lr = torch.rand(3, 3, 8, 8)
    network(lr)  # moves running statistics and spectral norms
    network.eval()
    other.load_state_dict(network.state_dict())
    other.eval()
    with torch.no_grad():
        sr = network(lr)
        assert torch.equal(network(lr), sr)
        assert torch.equal(other(lr), sr)
        alone = torch.cat([network(face[None]) for face in lr])
    torch.testing.assert_close(alone, sr, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NARROW)
def test_a_network_can_learn_a_face(name: str) -> None:
    network = build(name)
    lr = torch.rand(1, 3, 8, 8)
    hr = F.interpolate(lr, scale_factor=8, mode="bilinear")
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses: list[float] = []
    while len(losses) < 40 and (not losses or losses[-1] > 0.8 * losses[0]):
        loss = (network(lr) - hr).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] <= 0.8 * losses[0]
