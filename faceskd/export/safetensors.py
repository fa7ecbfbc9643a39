"""Safetensors, run with PyTorch: the network only, without optimiser, teacher, discriminators."""

import json
from pathlib import Path

from faceskd.common.checks import check_choice
from faceskd.export.base import Backend
from faceskd.export.eager import ARITHMETIC, DTYPES
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse
from faceskd.models.weights import save_network


class Safetensors(Backend):
    """Writes the weights of a network and the config from which it can be built.

    Args:
        precision: "fp32": the network as it was trained. "bf16" or "fp16": the network is fused,
            its weights are rounded, and the file is run in this precision.
        tolerance: largest accepted difference from fp32 images, which are in [0, 1].
        least_psnr: smallest accepted PSNR against fp32 images, in dB.

    Raises:
        ConfigError: the precision is unknown.
    """

    suffix = ".safetensors"
    packages = ("safetensors",)

    def __init__(
        self, *, precision: str = "fp32", tolerance: float = 1e-5, least_psnr: float = 0.0
    ) -> None:
        check_choice(DTYPES, precision=precision)
        self.format = "safetensors" if precision == "fp32" else precision
        self.precision = precision
        self.arithmetic = ARITHMETIC[precision]
        self.tolerance = tolerance
        self.least_psnr = least_psnr
        self.device = "cuda" if precision == "fp16" else "cpu"

    def write(self, network: SuperResolver, path: Path, metadata: dict[str, str]) -> None:
        """Write the weights, the model's config and the metadata."""
        details = dict(metadata)
        config, training = json.loads(details.pop("model")), json.loads(details.pop("training"))
        details = training | details
        if self.precision != "fp32":
            network = fuse(network).to(DTYPES[self.precision])
            details["fused"] = True
        save_network(path, network, config, details)
