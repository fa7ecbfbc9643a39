"""Pieces of networks, against what they stand for."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from faceskd.common.errors import ConfigError
from faceskd.common.images import LUMA
from faceskd.models.blocks import (
    back_projected,
    conv_pair,
    fuse,
    random_window,
    unfuse,
    upsample,
    upsampled_conv,
)
from faceskd.models.lite import Lite, ParallelKernels


@settings(max_examples=20, deadline=None)
@given(
    channels=st.integers(1, 5), out=st.integers(1, 5), height=st.integers(1, 9),
    width=st.integers(1, 9),
)  # fmt: skip
def test_an_upsampled_convolution_is_the_convolution_of_the_enlarged_map(
    channels, out, height, width
):
    layer = upsampled_conv(channels, out).double()
    kernel, bias = (layer[0].parametrizations[name].original for name in ("weight", "bias"))
    assert kernel.shape == (out, channels, 3, 3)
    x = torch.rand(2, channels, height, width, dtype=torch.double)
    enlarged = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    expected = F.conv2d(F.pad(enlarged, (1, 1, 1, 1), mode="replicate"), kernel, bias)
    torch.testing.assert_close(layer(x), expected)
    fused = fuse(layer)
    assert fused[0].weight.shape == (4 * out, channels, 3, 3)
    torch.testing.assert_close(fused(x), expected)


def test_the_kernel_of_the_enlarged_map_may_itself_be_parametrised():
    layer, x = upsampled_conv(3, 2, inner=ParallelKernels(3, 2)), torch.rand(1, 3, 4, 4)
    layer(x).sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
    torch.testing.assert_close(fuse(layer)(x), layer(x))


def test_detail_adds_nothing_where_maps_are_flat():
    layer = upsampled_conv(3, 2, detail=True)
    plain = layer(x := torch.rand(1, 3, 5, 5)).detach()
    nn.init.normal_(layer[0].parametrizations.weight[0].detail)
    assert not torch.allclose(layer(x), plain, atol=1e-2)
    flat = layer(torch.rand(1, 3, 1, 1).expand(1, 3, 5, 5))
    torch.testing.assert_close(flat, flat[..., :1, :1].expand_as(flat))


@pytest.mark.parametrize("upsampling", ["bilinear", "detailed", "shuffle"])
@pytest.mark.parametrize("kind", ["residual", "depthwise"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "silu"])
def test_a_folded_light_student_is_the_trained_one(kind, upsampling, activation):
    torch.manual_seed(0)
    lite = Lite(
        width=8, blocks=2, stage_widths=(8, 4, 4), kind=kind, upsampling=upsampling,
        activation=activation,
    )  # fmt: skip
    lr = torch.rand(2, 3, 16, 16)
    with torch.no_grad():
        fused = fuse(lite)
        torch.testing.assert_close(fused(lr), lite.eval()(lr), rtol=1e-4, atol=1e-5)
        for own, other in zip(
            fused.forward_features(lr)[1], lite.forward_features(lr)[1], strict=True
        ):
            torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)


def nearly_trained(network):
    """With parameters that are not what initialisation left, zero or a tenth of an identity."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


@pytest.mark.parametrize("upsampling", ["bilinear", "detailed", "shuffle"])
@pytest.mark.parametrize("kind", ["residual", "depthwise"])
def test_what_is_fused_can_be_unfolded_and_trained(kind, upsampling):
    torch.manual_seed(0)
    options = {
        "width": 8, "blocks": 2, "stage_widths": (8, 4, 4), "kind": kind, "upsampling": upsampling
    }  # fmt: skip
    trained, other = (nearly_trained(Lite(**options)) for _ in range(2))
    fused = fuse(trained)
    unfuse(other, fused.state_dict())
    other.load_state_dict(fused.state_dict(), strict=False)
    lr = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(other(lr), fused(lr), rtol=1e-4, atol=1e-4)
    other(lr).mean().backward()
    assert all(parameter.grad is not None for parameter in other.parameters())


def test_unfolding_finds_the_spectral_norm():
    torch.manual_seed(0)
    trained, other = (nearly_trained(conv_pair(6, 6, spectral=True)) for _ in range(2))
    for _ in range(200):
        trained.train()(torch.rand(1, 6, 4, 4))  # each a power iteration
    fused = fuse(trained)
    unfuse(other, fused.state_dict())
    for name in ("0", "2"):
        torch.testing.assert_close(
            other.get_submodule(name).weight, fused.get_submodule(name).weight, rtol=5e-3, atol=0
        )


def test_weights_of_another_shape_are_left_out():
    layer, wider = upsampled_conv(3, 2), fuse(upsampled_conv(4, 2))
    weight = layer[0].weight.detach().clone()
    unfuse(layer, wider.state_dict())
    torch.testing.assert_close(layer[0].weight, weight)
    torch.testing.assert_close(layer[0].bias, wider[0].bias)


@pytest.mark.parametrize("option", ["kind", "upsampling", "activation"])
def test_an_unknown_option_of_a_light_student_is_refused(option):
    with pytest.raises(ConfigError, match=f"expected {option} as one of .*got 'none'"):
        Lite(**{option: "none"})


class TestBackProjection:
    @staticmethod
    def lacking(lr, sr):
        """Luminance of the LR face less that of the SR face's blocks, (B, 1, H, W)."""
        (height, width), scale = lr.shape[-2:], sr.shape[-1] // lr.shape[-1]
        blocks = sr.reshape(-1, 3, height, scale, width, scale).mean((3, 5))
        return torch.einsum("bchw,c->bhw", lr - blocks, torch.tensor(LUMA).to(lr))[:, None]

    @settings(max_examples=20, deadline=None)
    @given(
        height=st.integers(1, 6), width=st.integers(1, 6), scale=st.sampled_from([2, 3, 4, 8]),
        share=st.floats(0, 2), seed=st.integers(0, 1000),
    )  # fmt: skip
    def test_is_its_equation(self, height, width, scale, share, seed):
        torch.manual_seed(seed)
        lr = torch.rand(2, 3, height, width, dtype=torch.double)
        residual = torch.randn(2, 3, scale * height, scale * width, dtype=torch.double)
        sr = upsample(lr, scale) + residual
        literal = sr + share * upsample(self.lacking(lr, sr), scale)
        found = upsample(back_projected(lr, residual, share), scale) + residual
        torch.testing.assert_close(found, literal)

    def test_a_student_with_it_keeps_the_light_of_the_lr_face_and_its_own_colours(self):
        torch.manual_seed(0)
        options = {"width": 8, "blocks": 1, "stage_widths": (8, 4, 4)}
        plain = nearly_trained(Lite(**options)).double()
        student = Lite(**options, back_projection=1.0).double()
        student.load_state_dict(plain.state_dict())
        lr = torch.rand(2, 3, 16, 16, dtype=torch.double)
        with torch.no_grad():
            before, after = plain(lr), student(lr)
        lost, left = self.lacking(lr, before), self.lacking(lr, after)
        assert lost.mean().abs() > 1e-3
        torch.testing.assert_close(left.mean((2, 3)), torch.zeros(2, 1, dtype=torch.double))
        assert left.square().sum() < 0.75**2 * lost.square().sum()  # the least that one step takes
        change = after - before
        torch.testing.assert_close(change, change[:, :1].expand_as(change))

    def test_a_negative_share_is_refused(self):
        with pytest.raises(ConfigError, match="back_projection of 0 or more, got -1"):
            Lite(back_projection=-1)


class TestRandomWindow:
    def test_is_the_same_square_of_each_image_with_its_corner_on_a_lattice(self) -> None:
        y, x = torch.meshgrid(torch.arange(48), torch.arange(40), indexing="ij")
        image = torch.stack((y, x))[None].float()
        corners = set()
        for _ in range(200):
            window, same = random_window(16, image, image.clone(), step=8)
            assert window.shape == (1, 2, 16, 16)
            torch.testing.assert_close(window, same)
            corners.add(tuple(window[0, :, 0, 0].int().tolist()))
        assert corners == {(top, left) for top in range(0, 33, 8) for left in range(0, 25, 8)}

    @pytest.mark.parametrize("side", [None, 16, 17])
    def test_what_is_no_larger_is_kept_whole(self, side: int | None) -> None:
        image = torch.rand(1, 3, 24, 16)
        (window,) = random_window(side, image)
        assert window.shape == image.shape
