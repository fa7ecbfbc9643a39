"""Loading VGG-19 weights of several origins into `VGG19`.

| given | what |
| --- | --- |
| "torchvision" | ImageNet weights through torch hub's cache (TORCH_HOME); downloaded if absent |
| *.safetensors | an encoder trained by `faceskd train experiment=encoder` |
| *.pth with `model` | collaborative distillation's narrow VGG-19 (keys conv0, conv11, ... conv51) |
| *.pth, features.N | torchvision's own file |
| *.pth, numbered keys | the "normalised" VGG-19 of style transfer (0: 1x1 conv; then each 3x3) |
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from faceskd.common.errors import WeightsError
from faceskd.common.files import atomic_path
from faceskd.common.hub import hub_file
from faceskd.common.pickles import read_pickle

if TYPE_CHECKING:
    from faceskd.models.vgg import VGG19

TORCHVISION = "torchvision"
FEATURES = "features."


def load_vgg_weights(vgg: "VGG19", source: str | Path) -> None:
    """Fill `vgg` from `source` (see the module's table), checking every shape.

    Raises:
        WeightsError: the file is missing or damaged, another width, or does not reach the taps.
    """
    state = _hub_state() if str(source) == TORCHVISION else _file_state(Path(source))
    wanted = vgg.state_dict()
    missing = sorted(name for name in wanted if not isinstance(state.get(name), Tensor))
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
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{str(path)!r} is not a whole safetensors file: {error}") from error
    content = read_pickle(path)
    narrow = isinstance(content, Mapping) and "model" in content
    model = content["model"] if narrow else content
    if not isinstance(model, Mapping) or not all(isinstance(key, str) for key in model):
        raise WeightsError(f"{str(path)!r} holds no state dict of a VGG-19")
    if narrow:
        return _narrow_state(model)
    if any(key.startswith(FEATURES) for key in model):
        return _torchvision_state(model)
    return _normalised_state(model)


def _narrow_state(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys conv0, convXY.weight -> normalise, convs.X_Y.weight; projections are left out."""
    state = {}
    for key, value in model.items():
        layer, _, kind = key.rpartition(".")
        if layer == "conv0":
            state[f"normalise.{kind}"] = value
        elif layer.startswith("conv") and layer[4:].isdigit():
            state[f"convs.{layer[4]}_{layer[5:]}.{kind}"] = value
    return state


def _normalised_state(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Numbered convolutions in their order -> normalise, convs.1_1, convs.1_2, ..."""
    return _renamed(model, ["normalise", *(f"convs.{name}" for name in _conv_names())])


def _torchvision_state(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys features.N.weight -> convs.X_Y.weight; torchvision normalises outside the network."""
    from faceskd.models.vgg import VGG19

    features = {
        key[len(FEATURES) :]: value for key, value in model.items() if key.startswith(FEATURES)
    }
    fresh = VGG19(width=1, taps=("relu1_1",)).normalise.state_dict()
    return _renamed(features, [f"convs.{name}" for name in _conv_names()]) | {
        f"normalise.{kind}": value for kind, value in fresh.items()
    }


def _renamed(model: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Layers with numbers for names, in their order, under the names given."""
    layers = sorted({int(key.split(".")[0]) for key in model if key.split(".")[0].isdigit()})
    return {
        f"{name}.{kind}": model[f"{layer}.{kind}"]
        for layer, name in zip(layers, names, strict=False)
        for kind in ("weight", "bias")
        if f"{layer}.{kind}" in model
    }


def _hub_state() -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights

    url = VGG19_Weights.IMAGENET1K_V1.url
    return _torchvision_state(read_pickle(hub_file(url, otherwise="give a path to other weights")))


def _conv_names() -> list[str]:
    from faceskd.models.vgg import CONVS_PER_BLOCK

    return [f"{b}_{i}" for b, n in enumerate(CONVS_PER_BLOCK, 1) for i in range(1, n + 1)]
