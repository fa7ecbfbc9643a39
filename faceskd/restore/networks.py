"""The networks that a `Restorer` runs, loaded from files or taken from a program."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from faceskd.common.errors import ConfigError
from faceskd.common.machine import multiplies_bfloat16
from faceskd.export.eager import eager
from faceskd.export.loading import Exported, load_exported
from faceskd.faces.lr_faces import LR_SIZE
from faceskd.models.base import FACES, SuperResolver, check_purpose
from faceskd.models.mixing import mixed

Weights = str | Path | SuperResolver
"""A .safetensors, .ckpt, .onnx or .pt2 file, or a network."""

FREE = (".safetensors", ".ckpt")
"""Suffixes of files whose network can be run in any precision, and mixed with another."""


def loaded(weights: Weights, purpose: str, *, device: str, precision: str | None) -> Exported:
    """A network, ready to run.

    Args:
        purpose: what it must be for, see `faceskd.models.base.SuperResolver`.
        precision: as `Restorer` takes it.

    Raises:
        WeightsError: see `Restorer`; or the network is for something else.
        ConfigError: see `Restorer`.
    """
    if precision == "auto":
        precision = _fastest(weights, device)
    if isinstance(weights, SuperResolver):
        precision, origin = precision or "fp32", type(weights).__name__
        run = eager(weights, precision=precision, device=device)
        shape = weights.scale, weights.size
        network = Exported("network", precision, run, *shape, weights.purpose)
    else:
        origin = str(weights)
        network = load_exported(weights, device=device, precision=precision)
    check_purpose(network.purpose, purpose, origin)
    return _usable(network)


def of_scale(network: Exported, scale: int, purpose: str) -> Exported:
    """The network, if it has this scale.

    Raises:
        ConfigError: it has another.
    """
    if network.scale != scale:
        raise ConfigError(f"expected {purpose} of scale {scale}, got one of scale {network.scale}")
    return network


def less_changed(
    weights: Weights,
    faithful: Weights | None,
    fidelity: float,
    *,
    device: str,
    precision: str | None,
) -> Exported:
    """A network for faces that stays closer to its input, the more so the higher `fidelity` is.

    With the weights of a second training, `faithful`, both are interpolated. Without it, what comes
    out is blended with the input.

    Raises:
        ConfigError: fidelity is outside [0, 1], the network is not of scale 1, or two files were
            expected.
    """
    if not 0 <= fidelity <= 1:
        raise ConfigError(f"expected a fidelity from 0 to 1, got {fidelity}")
    if faithful is not None and fidelity:
        weights, _ = mixed(_free_file(weights), _free_file(faithful), fidelity)
    network = loaded(weights, FACES, device=device, precision=precision)
    if not fidelity and faithful is None:
        return network
    of_scale(network, 1, "a network for fidelity")
    if faithful is not None:
        return network
    return replace(network, run=_blended(network, fidelity)) if fidelity else network


def _free_file(weights: Weights) -> Path:
    if isinstance(weights, SuperResolver) or Path(weights).suffix not in FREE:
        raise ConfigError(
            f"expected two files ending in {' or '.join(FREE)} to move between, got "
            f"{type(weights).__name__ if isinstance(weights, SuperResolver) else weights}"
        )
    return Path(weights)


def _blended(run: Callable[[Tensor], Tensor], fidelity: float) -> Callable[[Tensor], Tensor]:
    def blended(lr: Tensor) -> Tensor:
        sr = run(lr)
        return sr + fidelity * (lr.to(sr.device) - sr)

    return blended


def _usable(network: Exported) -> Exported:
    if network.scale != 1 and network.size != network.scale * LR_SIZE:
        raise ConfigError(
            f"expected a network of scale 1, or one that takes faces of {LR_SIZE} px, got one of "
            f"scale {network.scale} for faces of {network.size} px"
        )
    return network


def absolute(weights: Weights | None) -> Weights | None:
    """Weights as they can be found again: the absolute path of a file, a copy of a network."""
    if weights is None or isinstance(weights, SuperResolver):
        return copy.deepcopy(weights)
    return Path(weights).expanduser().absolute()


def _fastest(weights: Weights, device: str) -> str | None:
    free = isinstance(weights, SuperResolver) or Path(weights).suffix in FREE
    return "bf16" if free and device == "cpu" and multiplies_bfloat16() else None
