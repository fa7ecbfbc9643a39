"""VGG-19: torchvision's network at any width, and every kind of file that fills it."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from faceskd.errors import ConfigError, WeightsError
from faceskd.models.vgg import CONVS_PER_BLOCK, DICTIONARY_TAPS, VGG19
from faceskd.models.vgg_weights import save_vgg_weights

LAYERS = [f"{b}_{i}" for b, n in enumerate(CONVS_PER_BLOCK, 1) for i in range(1, n + 1)]
EVERY_TAP = [f"{kind}{name}" for name in LAYERS for kind in ("conv", "relu")]


@pytest.fixture(scope="module")
def reference() -> nn.Sequential:
    torch.manual_seed(0)
    return torchvision.models.vgg19(weights=None).features.eval()


def reference_maps(reference: nn.Sequential, image: Tensor) -> dict[str, Tensor]:
    """The output of every layer of torchvision's network, by the names of taps."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image - mean[:, None, None]) / std[:, None, None]
    maps, names = {}, iter(LAYERS)
    for layer in reference:
        x = layer(x.clone())  # its ReLUs work in place
        if isinstance(layer, nn.Conv2d):
            name = next(names)
            maps[f"conv{name}"] = x
        elif isinstance(layer, nn.ReLU):
            maps[f"relu{name}"] = x
    return maps


def fill_from(vgg: VGG19, reference: nn.Sequential) -> None:
    convs = [layer for layer in reference if isinstance(layer, nn.Conv2d)]
    for ours, theirs in zip(vgg.convs.values(), convs, strict=False):
        ours.load_state_dict(theirs.state_dict())


def test_every_layer_is_torchvisions(reference: nn.Sequential) -> None:
    vgg = VGG19(taps=EVERY_TAP).eval()
    fill_from(vgg, reference)
    image = torch.rand(2, 3, 33, 48)
    with torch.no_grad():
        maps = reference_maps(reference, image)
        for tap, ours in zip(vgg.taps, vgg(image), strict=True):
            torch.testing.assert_close(ours, maps[tap], rtol=1e-4, atol=1e-5, msg=tap)


def test_taps_of_the_dictionary(reference: nn.Sequential) -> None:
    vgg = VGG19(taps=DICTIONARY_TAPS).eval()
    fill_from(vgg, reference)
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        maps = reference_maps(reference, image)
        for tap, ours in zip(DICTIONARY_TAPS, vgg(image), strict=True):
            torch.testing.assert_close(ours, maps[tap], rtol=1e-4, atol=1e-5)
    assert vgg(image)[3].min() < 0  # conv5_4, before its ReLU


@pytest.mark.parametrize("width", [1, 3, 16])
def test_feature_info_is_what_comes_out(width: int) -> None:
    vgg = VGG19(width=width, taps=("relu1_1", *DICTIONARY_TAPS))
    for (channels, stride), features in zip(
        vgg.feature_info, vgg(torch.rand(1, 3, 64, 32)), strict=True
    ):
        assert features.shape == (1, channels, 64 // stride, 32 // stride)
    assert [info.stride for info in vgg.feature_info] == [1, 2, 4, 8, 16]
    assert [info.channels // width for info in vgg.feature_info] == [1, 2, 4, 8, 8]


def test_nothing_is_built_beyond_the_last_tap() -> None:
    assert list(VGG19(width=1, taps=("relu3_1",)).convs) == LAYERS[:5]


def test_average_pooling() -> None:
    vgg, image = VGG19(width=2, taps=("relu1_2", "conv2_1"), pooling="avg"), torch.rand(1, 3, 8, 8)
    before, after = vgg(image)
    pooled = before.view(1, 2, 4, 2, 4, 2).mean((3, 5))
    torch.testing.assert_close(after, vgg.convs["2_1"](pooled))


def test_reflected_borders() -> None:
    vgg, image = VGG19(width=2, taps=("conv1_1",), padding_mode="reflect"), torch.rand(1, 3, 8, 8)
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
        VGG19(width=1, taps=taps)


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
        VGG19(**{"width": 1} | options)


def test_the_normalisation_is_not_trained() -> None:
    trained = {name for name, p in VGG19(width=1).named_parameters() if p.requires_grad}
    assert trained == {f"convs.{name}.{kind}" for name in LAYERS for kind in ("weight", "bias")}


class TestFingerprint:
    """It names a feature space: equal for equal ones, and only for those."""

    def test_repeats_and_survives_layouts(self) -> None:
        vgg = VGG19(width=2)
        first = vgg.fingerprint()
        assert len(first) == 16
        assert vgg.to(memory_format=torch.channels_last).fingerprint() == first
        copy = VGG19(width=2)
        copy.load_state_dict(vgg.state_dict())
        assert copy.fingerprint() == first

    def test_changes_with_every_weight(self) -> None:
        vgg = VGG19(width=1)
        seen = {vgg.fingerprint()}
        for value in vgg.state_dict().values():
            value.view(-1)[0] += 1e-3
            seen.add(vgg.fingerprint())
        assert len(seen) == 1 + len(vgg.state_dict())

    @pytest.mark.parametrize(
        "options", [{"pooling": "avg"}, {"padding_mode": "reflect"}, {"taps": ("conv5_4",)}]
    )
    def test_changes_with_what_is_computed(self, options: dict) -> None:
        vgg, other = VGG19(width=1), VGG19(width=1, **options)
        other.load_state_dict(vgg.state_dict())
        assert other.fingerprint() != vgg.fingerprint()


WIDTHS = {1: 2, 2: 4, 3: 8, 4: 16, 5: 16}
"""Channels of the blocks of a VGG-19 of width 2."""


def layers_until(last: str) -> dict[str, tuple[Tensor, Tensor]]:
    """Random weights and biases of the 1x1 convolution ("0") and of 3x3 ones up to `last`."""
    layers = {"0": (torch.randn(3, 3, 1, 1), torch.randn(3))}
    channels = 3
    for name in LAYERS[: LAYERS.index(last) + 1]:
        out = WIDTHS[int(name[0])]
        layers[name] = (torch.randn(out, channels, 3, 3), torch.randn(out))
        channels = out
    return layers


def narrow_file(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """As collaborative distillation stores it, with projections that are not ours."""
    layers = layers_until("5_1")
    model = {}
    for name, (weight, bias) in layers.items():
        key = f"conv{name.replace('_', '')}"
        model |= {f"{key}.weight": weight, f"{key}.bias": bias}
    model |= {"conv11_aux.weight": torch.randn(9, 2, 1, 1), "conv11_aux.bias": torch.randn(9)}
    torch.save({"model": model, "epoch": 20}, path)
    return layers


def normalised_file(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """As style transfer stores it: a Sequential whose paddings and ReLUs have no weights."""
    layers = layers_until("3_1")
    numbers = (0, 2, 5, 9, 12, 16)
    pairs = zip(numbers, layers.values(), strict=True)
    state = {}
    for number, (weight, bias) in pairs:
        state |= {f"{number}.weight": weight, f"{number}.bias": bias}
    torch.save(state, path)
    return layers


def safetensors_file(path: Path) -> dict[str, tuple[Tensor, Tensor]]:
    layers = layers_until("5_4")
    state = {}
    for name, (weight, bias) in layers.items():
        key = "normalise" if name == "0" else f"convs.{name}"
        state |= {f"{key}.weight": weight, f"{key}.bias": bias}
    save_file(state, path)
    return layers


FORMATS: dict[str, tuple[Callable[[Path], dict], str, str]] = {
    "narrow": (narrow_file, "a.pth", "relu5_1"),
    "normalised": (normalised_file, "a.pth", "relu3_1"),
    "safetensors": (safetensors_file, "a.safetensors", "conv5_4"),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_fills_every_layer(kind: str, tmp_path: Path) -> None:
    write, name, tap = FORMATS[kind]
    layers = write(tmp_path / name)
    vgg = VGG19(width=2, taps=(tap,), weights=tmp_path / name)
    assert set(layers) == {"0", *vgg.convs}
    for key, (weight, bias) in layers.items():
        conv = vgg.normalise if key == "0" else vgg.convs[key]
        assert torch.equal(conv.weight, weight), key
        assert torch.equal(conv.bias, bias), key


@pytest.mark.parametrize("kind", FORMATS)
def test_a_shallower_encoder_takes_the_layers_it_has(kind: str, tmp_path: Path) -> None:
    write, name, _ = FORMATS[kind]
    layers = write(tmp_path / name)
    vgg = VGG19(width=2, taps=("relu2_2",), weights=tmp_path / name)
    assert torch.equal(vgg.convs["2_2"].weight, layers["2_2"][0])


@pytest.mark.parametrize("kind", ["narrow", "normalised"])
def test_weights_that_end_before_the_tap(kind: str, tmp_path: Path) -> None:
    write, name, _ = FORMATS[kind]
    write(tmp_path / name)
    with pytest.raises(WeightsError, match=r"end before the tap 'conv5_4'.*no 'convs\.[35]_2"):
        VGG19(width=2, weights=tmp_path / name)


@pytest.mark.parametrize("kind", FORMATS)
def test_weights_of_another_width(kind: str, tmp_path: Path) -> None:
    write, name, tap = FORMATS[kind]
    write(tmp_path / name)
    with pytest.raises(WeightsError, match=r"another width: convs\.\S+ is \(.*expected \(3"):
        VGG19(width=3, taps=(tap,), weights=tmp_path / name)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("left", [0, 1, 2, 3, 10, 0.5, 0.99])
def test_truncated_files(kind: str, left: float, tmp_path: Path) -> None:
    write, name, tap = FORMATS[kind]
    write(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    keep = int(left if isinstance(left, int) else left * len(content))
    (tmp_path / name).write_bytes(content[:keep])
    with pytest.raises(WeightsError, match=f"{name}'"):
        VGG19(width=2, taps=(tap,), weights=tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [b"h\x05", b"t", b"q", b"]q\x00.", b"\x80\x02}q\x00.", b"c__main__\nX\n.", b"(lp0\n.", b"0."],
    ids=repr,
)
def test_pickles_that_are_none(content: bytes, tmp_path: Path) -> None:
    """Their errors range from KeyError to IndexError, and none may get through."""
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(WeightsError, match=r"a\.pth'"):
        VGG19(width=2, weights=tmp_path / "a.pth")


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        torch.zeros(3),
        {},
        {"model": 3},
        {"model": {"conv11": 1, "conv0.weight": "text"}},
        {"0.weight": torch.zeros(3, 3, 1, 1)},
        {0: torch.zeros(1)},
        {"features.0.weight": torch.zeros(1)},
        {"layer1.weight": torch.zeros(1)},
    ],
    ids=repr,
)
def test_pickles_of_something_else(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a\.pth'"):
        VGG19(width=2, weights=tmp_path / "a.pth")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no VGG-19 weights at .*gone\.pth"):
        VGG19(width=2, weights=tmp_path / "gone.pth")


def test_saved_and_loaded_again(tmp_path: Path) -> None:
    vgg = VGG19(width=2)
    save_vgg_weights(vgg, tmp_path / "encoder.safetensors")
    again = VGG19(width=2, weights=tmp_path / "encoder.safetensors")
    assert again.fingerprint() == vgg.fingerprint()


class TestTorchvision:
    """Weights through torch hub's cache, which no test may fill from the network."""

    @pytest.fixture
    def hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

        def offline(*args: object, **kwargs: object) -> None:
            raise URLError("no route to host")

        monkeypatch.setattr(torch.hub, "urlopen", offline)
        return tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"

    def test_offline_says_what_from_where_and_the_choice(self, hub: Path) -> None:
        with pytest.raises(WeightsError) as caught:
            VGG19(weights="torchvision")
        message = str(caught.value)
        assert str(hub) in message
        assert "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth" in message
        assert "give a path" in message
        assert not list(hub.parent.iterdir())

    def test_from_the_cache_or_by_its_path(self, hub: Path, reference: nn.Sequential) -> None:
        hub.parent.mkdir(parents=True)
        state = {f"features.{key}": value for key, value in reference.state_dict().items()}
        torch.save(state | {"classifier.0.bias": torch.zeros(7)}, hub)
        image = torch.rand(1, 3, 32, 32)
        with torch.no_grad():
            expected = reference_maps(reference, image)["conv5_4"]
            for source in ("torchvision", hub):
                vgg = VGG19(taps=("conv5_4",), weights=source)
                torch.testing.assert_close(vgg(image)[0], expected, rtol=1e-4, atol=1e-5)

    def test_damaged_cache(self, hub: Path) -> None:
        hub.parent.mkdir(parents=True)
        hub.write_bytes(b"half a file")
        with pytest.raises(WeightsError, match=r"vgg19-dcbb9e9d\.pth.* is damaged"):
            VGG19(weights="torchvision")


REAL = {
    "vgg19_quarter_conv5_1.pth": (16, ("relu1_1", "relu2_2", "relu3_4", "relu4_4", "relu5_1")),
    "vgg19_normalised_conv3_1.pth": (64, ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1")),
}


@pytest.mark.parametrize("name", REAL)
def test_real_weights(name: str, prepared_faces: Path) -> None:
    from faceskd.images import read_image, to_tensor

    path = Path(os.environ.get("FACESKD_WEIGHTS", ""), name)
    if not path.is_file():
        pytest.skip(f"no {name} in the folder FACESKD_WEIGHTS")
    width, taps = REAL[name]
    vgg = VGG19(width=width, taps=taps, padding_mode="reflect", weights=path)
    face = to_tensor(read_image(min(prepared_faces.glob("train/*.png"))))[None]
    with torch.no_grad():
        maps = vgg(face)
    for features in maps:
        assert features.isfinite().all()
        assert (features.amax((0, 2, 3)) > 0).float().mean() > 0.4  # a few channels are dead
    if width == 64:  # normalised to a mean activation of 1 on natural images
        assert all(0.2 < features.mean() < 3 for features in maps)
