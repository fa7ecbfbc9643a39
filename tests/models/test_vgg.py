"""VGG-19 at any width: its taps and options, and the fingerprint of its features."""

import pytest
import torch
from helpers.tiny_dictionary import LAYERS
from torch import nn

from faceskd.common.errors import ConfigError
from faceskd.models.vgg import DICTIONARY_TAPS, VGG19


@pytest.mark.parametrize("width", [1, 3, 16])
def test_feature_info_is_what_comes_out(width: int) -> None:
    vgg = VGG19(width=width, taps=("relu1_1", *DICTIONARY_TAPS), weights="random")
    for (channels, stride), features in zip(
        vgg.feature_info, vgg(torch.rand(1, 3, 64, 32)), strict=True
    ):
        assert features.shape == (1, channels, 64 // stride, 32 // stride)
    assert [info.stride for info in vgg.feature_info] == [1, 2, 4, 8, 16]
    assert [info.channels // width for info in vgg.feature_info] == [1, 2, 4, 8, 8]


def test_nothing_is_built_beyond_the_last_tap() -> None:
    assert list(VGG19(width=1, taps=("relu3_1",), weights="random").convs) == LAYERS[:5]


def test_average_pooling() -> None:
    vgg, image = (
        VGG19(width=2, taps=("relu1_2", "conv2_1"), pooling="avg", weights="random"),
        torch.rand(1, 3, 8, 8),
    )
    before, after = vgg(image)
    pooled = before.view(1, 2, 4, 2, 4, 2).mean((3, 5))
    torch.testing.assert_close(after, vgg.convs["2_1"](pooled))


def test_reflected_borders() -> None:
    vgg, image = (
        VGG19(width=2, taps=("conv1_1",), padding_mode="reflect", weights="random"),
        torch.rand(1, 3, 8, 8),
    )
    padded = nn.functional.pad(vgg.normalise(image), (1, 1, 1, 1), mode="reflect")
    conv = vgg.convs["1_1"]
    torch.testing.assert_close(vgg(image)[0], nn.functional.conv2d(padded, conv.weight, conv.bias))


@pytest.mark.parametrize(
    "taps",
    [
        (),
        ("relu6_1",),
        ("relu0_1",),
        ("relu1_3",),
        ("relu3_0",),
        ("pool1_1",),
        ("relu3",),
        ("relu3_",),
        ("relu33",),
        ("",),
        ("relu4_4", "relu2_2"),
        ("relu3_4", "relu3_1"),
        ("relu3_1", "conv3_1"),
        ("relu3_1", "relu3_1"),
    ],
)
def test_taps_that_cannot_be(taps: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        VGG19(width=1, taps=taps, weights="random")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width of at least 1 channel, got 0"),
        ({"pooling": "min"}, "pooling max or avg, got 'min'"),
        ({"padding_mode": "same"}, "padding_mode zeros or reflect, got 'same'"),
    ],
)
def test_options_that_cannot_be(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VGG19(**{"width": 1, "weights": "random"} | options)


def test_the_normalisation_is_not_trained() -> None:
    trained = {
        name for name, p in VGG19(width=1, weights="random").named_parameters() if p.requires_grad
    }
    assert trained == {f"convs.{name}.{kind}" for name in LAYERS for kind in ("weight", "bias")}


class TestFingerprint:
    """It names a feature space: equal for equal ones, and only for those."""

    def test_repeats_and_survives_layouts(self) -> None:
        vgg = VGG19(width=2, weights="random")
        first = vgg.fingerprint()
        assert len(first) == 16
        assert vgg.to(memory_format=torch.channels_last).fingerprint() == first
        copy = VGG19(width=2, weights="random")
        copy.load_state_dict(vgg.state_dict())
        assert copy.fingerprint() == first

    def test_changes_with_every_weight(self) -> None:
        vgg = VGG19(width=1, weights="random")
        seen = {vgg.fingerprint()}
        for value in vgg.state_dict().values():
            value.view(-1)[0] += 1e-3
            seen.add(vgg.fingerprint())
        assert len(seen) == 1 + len(vgg.state_dict())

    @pytest.mark.parametrize(
        "options", [{"pooling": "avg"}, {"padding_mode": "reflect"}, {"taps": ("conv5_4",)}]
    )
    def test_changes_with_what_is_computed(self, options: dict) -> None:
        vgg, other = VGG19(width=1, weights="random"), VGG19(width=1, **options, weights="random")
        other.load_state_dict(vgg.state_dict())
        assert other.fingerprint() != vgg.fingerprint()
