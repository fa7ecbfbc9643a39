"""Loading VGG-19 weights of several origins into `VGG19`.

| given | what |
| --- | --- |
| "torchvision" | ImageNet weights through torch hub's cache (TORCH_HOME); downloaded if absent |
| *.safetensors | an encoder trained by `faceskd train experiment=encoder` |
| *.pth with `model` | collaborative distillation's narrow VGG-19 (keys conv0, conv11, ... conv51) |
| *.pth, numbered keys | the "normalised" VGG-19 of style transfer (0: 1x1 conv; then each 3x3) |
"""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from faceskd.errors import WeightsError
from faceskd.files import atomic_path

if TYPE_CHECKING:
    from faceskd.models.vgg import VGG19

TORCHVISION = "torchvision"


def load_vgg_weights(vgg: "VGG19", source: str | Path) -> None:
    """Fill `vgg` from `source` (see the module's table), checking every shape.

    Raises:
        WeightsError: the file is missing or damaged, another width, or does not reach the taps.
    """
    state = _torchvision_state() if str(source) == TORCHVISION else _file_state(Path(source))
    wanted = vgg.state_dict()
    missing = sorted(set(wanted) - set(state))
    if missing:
        raise WeightsError(
            f"the VGG-19 weights in {str(source)!r} end before the tap {vgg.taps[-1]!r}: "
            f"they have no {missing[0]!r}"
        )
    for name, value in wanted.items():
        if state[name].shape != value.shape:
            raise WeightsError(
                f"the VGG-19 weights in {str(source)!r} are of another width: {name} is "
                f"{tuple(state[name].shape)}, expected {tuple(value.shape)}"
            )
    vgg.load_state_dict({name: state[name] for name in wanted})


def save_vgg_weights(vgg: "VGG19", path: Path | str) -> None:
    """Write an encoder as safetensors, atomically."""
    state = {name: value.detach().cpu().contiguous() for name, value in vgg.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, {"format": "faceskd-vgg19", "fingerprint": vgg.fingerprint()})


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"no VGG-19 weights at {str(path)!r}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(f"{str(path)!r} is not a file of VGG-19 weights: {error}") from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{str(path)!r} holds no state dict of a VGG-19")
    if "model" in content:
        return _narrow_state(content["model"])
    return _normalised_state(content)


def _narrow_state(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys conv0, convXY.weight -> normalise, convs.X_Y.weight; projections are left out."""
    state = {}
    for key, value in model.items():
        layer, kind = key.rsplit(".", 1)
        if layer == "conv0":
            state[f"normalise.{kind}"] = value
        elif layer.startswith("conv") and layer[4:].isdigit():
            state[f"convs.{layer[4]}_{layer[5:]}.{kind}"] = value
    return state


def _normalised_state(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Numbered convolutions in their order -> normalise, convs.1_1, convs.1_2, ..."""
    layers = sorted({int(key.split(".")[0]) for key in model if key.split(".")[0].isdigit()})
    names = ["normalise", *(f"convs.{name}" for name in _conv_names())]
    return {
        f"{name}.{kind}": model[f"{layer}.{kind}"]
        for layer, name in zip(layers, names, strict=False)
        for kind in ("weight", "bias")
    }


def _torchvision_state() -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights

    from faceskd.models.vgg import VGG19

    url = VGG19_Weights.IMAGENET1K_V1.url
    try:
        content = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, weights_only=True
        )
    except (URLError, OSError) as error:
        raise WeightsError(
            f"torchvision's VGG-19 is not in torch hub's cache and {url} cannot be reached "
            f"({error}); put the file into TORCH_HOME/hub/checkpoints, or give a path"
        ) from error
    numbered = {key[9:]: value for key, value in content.items() if key.startswith("features.")}
    layers = sorted({int(key.split(".")[0]) for key in numbered})
    state = {
        f"convs.{name}.{kind}": numbered[f"{layer}.{kind}"]
        for layer, name in zip(layers, _conv_names(), strict=True)
        for kind in ("weight", "bias")
    }
    fresh = VGG19(width=1, taps=("relu1_1",)).state_dict()
    return state | {key: fresh[key] for key in ("normalise.weight", "normalise.bias")}


def _conv_names() -> list[str]:
    from faceskd.models.vgg import CONVS_PER_BLOCK

    return [f"{b}_{i}" for b, n in enumerate(CONVS_PER_BLOCK, 1) for i in range(1, n + 1)]
