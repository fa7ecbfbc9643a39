"""Blocks of baselines, against their equations in literal form."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.tiny_faces import randomise
from hydra.utils import instantiate
from torch import Tensor, nn

from faceskd.common.config import compose_model
from faceskd.common.errors import ConfigError
from faceskd.models.baselines.dbpn import ProjectionUnit
from faceskd.models.baselines.rcan import RCAN, ChannelAttention
from faceskd.models.baselines.rdn import ResidualDenseBlock
from faceskd.models.baselines.rrdb import RRDB, DenseBlock
from faceskd.models.baselines.srfeat import LongRangeBody
from faceskd.models.baselines.srresnet import NormalizedBlock
from faceskd.models.upsampling import SubPixelUp, Upsampler


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def silent(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


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
    network = instantiate(compose_model("rdn_narrow")).eval()
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
    network = instantiate(compose_model("rcan_narrow"))
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
    network = instantiate(compose_model("dbpn_narrow"))
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
