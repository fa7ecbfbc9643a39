"""Safetensors, run by PyTorch: the network alone, without optimiser, teacher or discriminators."""

import json
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from faceskd.models.base import SuperResolver
from faceskd.weights import load_network, save_network


class Safetensors:
    """Writes the weights of a network and the config that builds it again."""

    format = "safetensors"
    suffix = ".safetensors"
    precision = "fp32"
    packages: tuple[str, ...] = ("safetensors",)

    def __init__(self, *, tolerance: float = 0.0) -> None:
        self.tolerance = tolerance

    def write(self, network: SuperResolver, path: Path, metadata: dict[str, str]) -> None:
        """Write the weights, the model's config and the metadata."""
        details = {
            key: value for key, value in metadata.items() if key not in ("model", "training")
        }
        details |= json.loads(metadata["training"])
        save_network(path, network, json.loads(metadata["model"]), details)

    def load(self, path: Path) -> Callable[[Tensor], Tensor]:
        """The network again, in eval mode."""
        return load_network(path)
