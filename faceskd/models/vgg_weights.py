"""Read VGG-19 weights from several kinds of files, as the state dict of a `VGG19`.

| source | weights |
| --- | --- |
| "torchvision" | ImageNet weights from torch hub's cache (TORCH_HOME); downloaded if missing |
| *.safetensors | an encoder trained by `faceskd train experiment=encoder` |
| *.pth with `model` | the narrow VGG-19 of "Collaborative Distillation" (keys conv0, conv11, ...) |
| *.pth, features.N | the file of torchvision |
| *.pth, numbered keys | the "normalised" VGG-19 of style transfer (0: 1x1 conv; then each 3x3) |
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from faceskd.common.errors import WeightsError
from faceskd.common.hub import hub_file
from faceskd.common.pickles import read_pickle
from faceskd.common.tensors import check_finite, read_safetensors
from faceskd.models.vgg_layers import conv_names, imagenet_normalisation

TORCHVISION = "torchvision"
FEATURES = "features."


def read_vgg_state(source: str | Path) -> dict[str, Tensor]:
    """Tensors by their names in `VGG19`, for all layers that `source` has.

    Raises:
        WeightsError: the file is missing, damaged, or no VGG-19, or a value is not finite.
    """
    state = _hub_state() if str(source) == TORCHVISION else _file_state(Path(source))
    check_finite({k: v for k, v in state.items() if isinstance(v, Tensor)}, source)
    return state


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise WeightsError(f"no VGG-19 weights at {str(path)!r}")
    if path.suffix == ".safetensors":
        return read_safetensors(path)[0]
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
    """Rename conv0, convXY.weight to normalise, convs.X_Y.weight; leave out projections."""
    state = {}
    for key, value in model.items():
        layer, _, kind = key.rpartition(".")
        if layer == "conv0":
            state[f"normalise.{kind}"] = value
        elif layer.startswith("conv") and layer[4:].isdigit():
            state[f"convs.{layer[4]}_{layer[5:]}.{kind}"] = value
    return state


def _normalised_state(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename numbered convolutions, in order, to normalise, convs.1_1, convs.1_2, ..."""
    return _renamed(model, ["normalise", *(f"convs.{name}" for name in conv_names())])


def _torchvision_state(model: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename features.N.weight to convs.X_Y.weight; add the normalisation, which is missing."""
    features = {
        key[len(FEATURES) :]: value for key, value in model.items() if key.startswith(FEATURES)
    }
    return _renamed(features, [f"convs.{name}" for name in conv_names()]) | {
        f"normalise.{kind}": value for kind, value in imagenet_normalisation().state_dict().items()
    }


def _renamed(model: Mapping[str, Tensor], names: list[str]) -> dict[str, Tensor]:
    """Rename layers whose names are numbers, in order, to `names`."""
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
