"""Baselines at x8: their size, their contract, and their equations in literal form."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from faceskd.config import compose_model
from faceskd.errors import ConfigError
from faceskd.models.base import SuperResolver
from faceskd.models.dbpn import ProjectionUnit
from faceskd.models.hifacegan import SPADE, HiFaceGAN, ImportancePool, importance_pool
from faceskd.models.interpolation import Interpolation, enlarging_matrix
from faceskd.models.rcan import RCAN, ChannelAttention
from faceskd.models.rdn import ResidualDenseBlock
from faceskd.models.rrdb import RRDB, DenseBlock
from faceskd.models.srfeat import LongRangeBody
from faceskd.models.srresnet import NormalizedBlock
from faceskd.models.upsampling import SubPixelUp, Upsampler

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
PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def build(name: str) -> SuperResolver:
    return instantiate(compose_model(name))


def randomise(module: nn.Module) -> nn.Module:
    """Give every parameter a value that a wrong place or order would show."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def silent(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


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


@pytest.mark.parametrize("name", [*NARROW, *PILLOW])
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


@settings(max_examples=25, deadline=None)
@given(
    mode=st.sampled_from(sorted(PILLOW)),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_interpolation_agrees_with_pillow(mode: str, height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((3, height, width), dtype=np.float32)
    size = (8 * width, 8 * height)
    expected = [Image.fromarray(channel).resize(size, PILLOW[mode]) for channel in image]
    sr = Interpolation(mode=mode)(torch.from_numpy(image)[None])[0]
    np.testing.assert_allclose(sr, np.stack([np.asarray(c) for c in expected]), atol=2e-6)


@pytest.mark.parametrize("mode", PILLOW)
def test_interpolation_keeps_a_flat_image(mode: str) -> None:
    torch.testing.assert_close(enlarging_matrix(32, 8, mode).sum(dim=1), torch.ones(256))
    sr = Interpolation(mode=mode)(torch.full((1, 3, 4, 4), 0.3, dtype=torch.float64))
    assert sr.dtype == torch.float64
    torch.testing.assert_close(sr, torch.full_like(sr, 0.3), rtol=1e-6, atol=0)


def test_interpolation_refuses_an_unknown_mode() -> None:
    with pytest.raises(ConfigError, match="'area'"):
        Interpolation(mode="area")


def test_sub_pixel_convolution_starts_without_a_grid() -> None:
    up = SubPixelUp(6)(torch.rand(2, 6, 5, 5))
    assert torch.equal(up, up[..., ::2, ::2].repeat_interleave(2, -1).repeat_interleave(2, -2))
    assert up.std() > 0.01


def test_upsampler_doubles_three_times() -> None:
    sides = [tuple(x.shape) for x in Upsampler(4)(torch.rand(1, 4, 3, 5))]
    assert sides == [(1, 4, 3 * 2**k, 5 * 2**k) for k in range(4)]


def test_normalized_block_is_residual() -> None:
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(silent(NormalizedBlock(4))(x), x)


def test_srfeat_sums_a_projection_of_every_block() -> None:
    body = randomise(LongRangeBody(4, blocks=3)).eval()
    x = torch.randn(2, 4, 6, 6)
    expected, state = torch.zeros_like(x), x
    for block, skip in zip(body.blocks, body.skips, strict=True):
        state = block(state)
        weight = skip.weight[:, :, 0, 0]
        expected += torch.einsum("oc,bchw->bohw", weight, state) + skip.bias[:, None, None]
    torch.testing.assert_close(body(x), expected, rtol=1e-4, atol=1e-4)


def test_rdn_block_is_dense() -> None:
    block = randomise(ResidualDenseBlock(4, growth=3, layers=3))
    x = torch.randn(2, 4, 6, 6)
    maps = [x]
    for layer in block.layers:
        start, total = 0, layer.bias[:, None, None]
        for known in maps:
            weight = layer.weight[:, start : start + known.shape[1]]
            total = total + F.conv2d(known, weight, padding=1)
            start += known.shape[1]
        assert start == layer.weight.shape[1]
        maps.append(total.relu())
    fused = F.conv2d(torch.cat(maps, dim=1), block.fuse.weight, block.fuse.bias)
    torch.testing.assert_close(block(x), x + fused, rtol=1e-4, atol=1e-3)


def test_rdn_fuses_every_block() -> None:
    network = build("rdn_narrow").eval()
    lr = torch.rand(1, 3, 8, 8)
    before = network(lr)
    width = network.feature_info[0].channels
    for index in range(len(network.blocks)):
        weight = network.fuse[0].weight
        kept = weight.detach().clone()
        with torch.no_grad():
            weight[:, index * width : (index + 1) * width] = 0
            assert not torch.allclose(network(lr), before), f"block {index} is not fused"
            weight.copy_(kept)


def test_rcan_attention_is_one_weight_a_channel() -> None:
    attention = randomise(ChannelAttention(8, reduction=2))
    x = torch.randn(2, 8, 5, 5)
    down, up = (m for m in attention.modules() if isinstance(m, nn.Conv2d))
    assert down.weight.shape == (4, 8, 1, 1)
    means = x.mean(dim=(2, 3)).detach().numpy()
    hidden = means @ down.weight.detach()[:, :, 0, 0].numpy().T + down.bias.detach().numpy()
    logits = np.maximum(hidden, 0) @ up.weight.detach()[:, :, 0, 0].numpy().T
    weights = 1 / (1 + np.exp(-(logits + up.bias.detach().numpy())))
    expected = x.numpy() * weights[:, :, None, None]
    np.testing.assert_allclose(attention(x).detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reduction", [0, 64])
def test_rcan_refuses_a_bottleneck_without_channels(reduction: int) -> None:
    with pytest.raises(ConfigError, match="reduction"):
        RCAN(width=32, reduction=reduction)


def test_rcan_residuals_are_nested() -> None:
    network = build("rcan_narrow")
    silent(network.body)
    lr = torch.rand(1, 3, 8, 8)
    _, features = network.forward_features(lr)
    assert torch.equal(features[0], network.head(lr - 0.5))


def _project(x: Tensor, stage: nn.Sequential, *, up: bool) -> Tensor:
    conv, prelu = stage
    operation = F.conv_transpose2d if up else F.conv2d
    y = operation(x, conv.weight, conv.bias, stride=8, padding=2)
    return torch.where(y > 0, y, prelu.weight * y)


@pytest.mark.parametrize("up", [True, False])
def test_dbpn_projects_back_its_error(up: bool) -> None:
    unit = ProjectionUnit(3, inputs=2, up=up)
    side = 4 if up else 32
    maps = [torch.randn(2, 3, side, side) for _ in range(2)]
    x = unit.fuse(torch.cat(maps, dim=1))
    first = _project(x, unit.project, up=up)
    error = _project(first, unit.return_, up=not up) - x
    expected = first + _project(error, unit.correct, up=up)
    assert expected.shape[-1] == (32 if up else 4)
    torch.testing.assert_close(unit(maps), expected, rtol=1e-4, atol=1e-5)


def test_dbpn_makes_the_image_of_every_up_projection() -> None:
    network = build("dbpn_narrow")
    seen: list[Tensor] = []
    for unit in network.ups:
        unit.register_forward_hook(lambda module, inputs, output: seen.append(output))
    sr, features = network.forward_features(torch.rand(1, 3, 8, 8))
    assert len(seen) == 3
    assert torch.equal(features[1], torch.cat(seen, dim=1))
    assert torch.equal(sr, network.tail(features[1]) + 0.5)


def test_dbpn_starts_with_level_variance() -> None:
    unit = ProjectionUnit(16, inputs=1, up=True)
    ratio = unit([torch.randn(4, 16, 8, 8)]).var().item()
    assert 0.3 < ratio < 3


def test_rrdb_scales_its_residuals() -> None:
    block = randomise(DenseBlock(4, growth=2))
    x = torch.randn(1, 4, 6, 6)
    maps = [x]
    for layer in block.layers:
        y = F.conv2d(torch.cat(maps, dim=1), layer.weight, layer.bias, padding=1)
        maps.append(torch.where(y > 0, y, 0.2 * y))
    torch.testing.assert_close(block(x), x + 0.2 * y, rtol=1e-4, atol=1e-3)
    nested = RRDB(4, growth=2)
    torch.testing.assert_close(nested(x), x + 0.2 * nested.body(x))


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 7), width=st.integers(1, 7), seed=st.integers(0, 1000))
def test_importance_pool_is_the_weighted_mean(height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, logits = torch.randn(2, 1, 2, height, width, generator=generator, dtype=torch.float64)
    pooled = importance_pool(x, logits)
    assert pooled.shape == (1, 2, (height + 1) // 2, (width + 1) // 2)
    for c, i, j in np.ndindex(*pooled.shape[1:]):
        numerator = denominator = 0.0
        for u in range(max(2 * i - 1, 0), min(2 * i + 2, height)):
            for v in range(max(2 * j - 1, 0), min(2 * j + 2, width)):
                weight = math.exp(logits[0, c, u, v])
                numerator += weight * x[0, c, u, v].item()
                denominator += weight
        assert pooled[0, c, i, j].item() == pytest.approx(numerator / denominator)


def test_importance_pool_keeps_the_important() -> None:
    x = torch.rand(1, 1, 4, 4)
    logits = torch.zeros_like(x)
    logits[0, 0, 1, 1] = 30
    torch.testing.assert_close(importance_pool(x, logits), x[..., 1:2, 1:2].expand(1, 1, 2, 2))


def test_importance_is_learned_and_bounded() -> None:
    pool = ImportancePool(3)
    x = torch.rand(2, 3, 8, 8)
    pool(x).square().sum().backward()
    assert all(parameter.grad.any() for parameter in pool.parameters())
    half = pool.half()(10 * x.half())  # exp(12) alone is over half precision's range
    assert half.isfinite().all()


def test_spade_is_its_formula() -> None:
    spade = randomise(SPADE(4, guide_channels=3, hidden=8))
    x, guide = torch.randn(2, 4, 6, 6), torch.randn(2, 3, 6, 6)
    hidden = spade.shared(guide)
    gamma, beta = spade.gamma(hidden), spade.beta(hidden)
    mean = x.mean(dim=(2, 3), keepdim=True)
    std = (x.var(dim=(2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    expected = (x - mean) / std * (1 + gamma) + beta
    torch.testing.assert_close(spade(x, guide), expected, rtol=1e-4, atol=1e-4)


def test_spade_modulates_each_pixel() -> None:
    spade = randomise(SPADE(4, guide_channels=3, hidden=4))
    x, guide = torch.randn(1, 4, 12, 12), torch.randn(1, 3, 12, 12)
    other = guide.clone()
    other[..., 6, 6] += 5
    changed = (spade(x, guide) != spade(x, other)).any(dim=1)[0]
    reach = torch.zeros_like(changed)
    reach[4:9, 4:9] = True  # two 3x3 convolutions
    assert changed[6, 6]
    assert not (changed & ~reach).any()


def test_hifacegan_pads_without_a_trace() -> None:
    network = HiFaceGAN(width=4, spade_width=8).eval()
    lr = torch.rand(1, 3, 10, 9)
    padded = F.pad(lr, (0, 3, 0, 2), mode="replicate")
    assert torch.equal(network(lr), network(padded)[..., :80, :72])


def test_hifacegan_gives_colours_in_range() -> None:
    sr = randomise(HiFaceGAN(width=4, spade_width=8))(torch.rand(1, 3, 8, 8))
    assert sr.min() >= 0 and sr.max() <= 1
