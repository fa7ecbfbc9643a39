"""Packed convolutions give what plain ones give."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from faceskd.export.eager import Served, eager
from faceskd.export.packing import PackedConv2d, can_pack, pack
from faceskd.models.blocks import fuse
from faceskd.models.lite import Lite

needs_bf16 = pytest.mark.skipif(not can_pack(), reason="oneDNN has no bf16 on this processor")


@needs_bf16
@given(
    groups=st.sampled_from([1, 2, 16]),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    mode=st.sampled_from(["zeros", "replicate", "reflect"]),
    bias=st.booleans(),
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(9, 20), st.integers(9, 20)),
    seed=st.integers(0, 1000),
)
def test_it_is_the_convolution(groups, kernel, stride, dilation, mode, bias, batch, size, seed):
    torch.manual_seed(seed)
    plain = nn.Conv2d(
        16, 32, kernel, stride, padding=kernel // 2, dilation=dilation, groups=groups, bias=bias,
        padding_mode=mode, dtype=torch.bfloat16,
    ).requires_grad_(False)  # fmt: skip
    packed = PackedConv2d(copy.deepcopy(plain))
    x = torch.randn(batch, 16, *size).to(torch.bfloat16, memory_format=torch.channels_last)
    torch.testing.assert_close(packed(x), plain(x))
    torch.testing.assert_close(packed(x.float()), plain(x), msg="fp32 is rounded first")


def count(network, kind):
    return sum(isinstance(module, kind) for module in network.modules())


@needs_bf16
def test_a_network_is_packed_whole_and_gives_the_same_faces():
    torch.manual_seed(0)
    lite = Lite(width=16, blocks=2, stage_widths=(16, 16, 16), back_projection=1.0).eval()
    lr = torch.rand(2, 3, 32, 32)
    packed = fuse(lite).to(torch.bfloat16)
    convolutions = count(packed, nn.Conv2d)
    assert count(pack(packed), PackedConv2d) == convolutions > 0
    with torch.no_grad():
        torch.testing.assert_close(packed(lr).float(), lite(lr), atol=0.02, rtol=0)
    served = Served(lite, "bf16", torch.device("cpu"))
    torch.testing.assert_close(eager(lite, precision="bf16")(lr), served(lr), atol=0, rtol=0)


def test_other_precisions_stay_as_they_are():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding="same"))
    assert [type(module) for module in pack(network)] == [nn.Conv2d, nn.Conv2d]
    network = nn.Sequential(nn.Conv2d(4, 4, 3, padding="same", dtype=torch.bfloat16))
    assert [type(module) for module in pack(network)] == [nn.Conv2d]
