"""Every kind of file that fills VGG-19, and files that are something else."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.tiny_dictionary import LAYERS
from safetensors.torch import save_file
from torch import Tensor

from faceskd.common.errors import WeightsError
from faceskd.common.tensors import read_safetensors, write_safetensors
from faceskd.models.vgg import VGG19

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
    with pytest.raises(WeightsError, match=r"up to 'conv5_4'.*got none named 'convs\.[35]_2"):
        VGG19(width=2, weights=tmp_path / name)


@pytest.mark.parametrize("kind", FORMATS)
def test_weights_of_another_width(kind: str, tmp_path: Path) -> None:
    write, name, tap = FORMATS[kind]
    write(tmp_path / name)
    with pytest.raises(
        WeightsError, match=r"of width 3 in .*got convs\.\S+ of shape \(2.* instead of \(3"
    ):
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
    vgg = VGG19(width=2, weights="random")
    vgg.save(tmp_path / "encoder.safetensors")
    again = VGG19(width=2, weights=tmp_path / "encoder.safetensors")
    assert again.fingerprint() == vgg.fingerprint()


REAL = {
    "vgg19_quarter_conv5_1.pth": (16, ("relu1_1", "relu2_2", "relu3_4", "relu4_4", "relu5_1")),
    "vgg19_normalised_conv3_1.pth": (64, ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1")),
}


@pytest.mark.parametrize("name", REAL)
def test_real_weights(name: str, prepared_faces: Path) -> None:
    from faceskd.common.images import read_image, to_tensor

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


def test_without_weights_it_says_how_to_get_them() -> None:
    with pytest.raises(WeightsError) as caught:
        VGG19(width=1)
    for way in ("FACESKD_WEIGHTS", "torchvision", "experiment=encoder", "random"):
        assert way in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", FORMATS)
def test_numbers_that_are_none_are_refused(kind: str, tmp_path: Path) -> None:
    write, name, tap = FORMATS[kind]
    write(tmp_path / name)
    vgg = VGG19(width=2, taps=(tap,), weights=tmp_path / name)
    vgg.save(tmp_path / "b.safetensors")
    state, header = read_safetensors(tmp_path / "b.safetensors")
    state["convs.2_1.bias"][1] = float("nan")
    write_safetensors(tmp_path / "b.safetensors", state, header)
    refused = r"1 of the 4 values of convs\.2_1\.bias are NaN"
    with pytest.raises(WeightsError, match=refused):
        VGG19(width=2, taps=(tap,), weights=tmp_path / "b.safetensors")
    with torch.no_grad():
        vgg.convs["2_1"].bias[1] = float("nan")
    with pytest.raises(WeightsError, match=refused):
        vgg.save(tmp_path / "c.safetensors")
    assert not (tmp_path / "c.safetensors").exists()
