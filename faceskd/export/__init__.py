"""Networks for other runtimes: one file a backend, one parity check for all.

`export_network` writes a file, runs it by its own runtime beside the PyTorch network, and only
then lets it have its name. A backend is a `Backend`: a file in this folder that holds a class,
and a config in `conf/export/` that names it.
"""

import copy
import json
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

import faceskd
from faceskd.errors import ExportError
from faceskd.export.loading import Exported, load_exported
from faceskd.export.parity import BATCH_SIZES, Parity, check_parity
from faceskd.files import atomic_path, sha256, write_text
from faceskd.models.base import SuperResolver

__all__ = ["Backend", "Exported", "card_path", "export_network", "load_exported"]


class Backend(Protocol):
    """One kind of exported file.

    Attributes:
        format: name of the format, as in `conf/export/<format>.yaml`.
        suffix: what the names of its files end in, with the dot.
        precision: "fp32", "bf16", "int8": what the file computes in.
        tolerance: largest accepted difference from PyTorch's fp32 SR image, of a range of 1.
        packages: the distributions whose versions belong on the card.
    """

    format: str
    suffix: str
    precision: str
    tolerance: float
    packages: tuple[str, ...]

    def write(self, network: SuperResolver, path: Path, metadata: dict[str, str]) -> None:
        """Write a network that is in eval mode on the CPU, with `metadata` inside the file."""

    def load(self, path: Path) -> Callable[[Tensor], Tensor]:
        """The file as a function of LR faces, computed by the file's own runtime."""


def export_network(
    network: SuperResolver,
    path: Path | str,
    *,
    backend: Backend,
    model_config: dict[str, Any],
    training: dict[str, Any] | None = None,
    faces: Path | str | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    tolerance: float | None = None,
) -> dict[str, Any]:
    """Export a network, prove the file against it, and write its card.

    Args:
        network: follows the contract of CONTRIBUTING.md; it is not changed.
        path: the file to write; `<path>.json`, beside it, is the card.
        model_config: what builds the network again; kept inside the file.
        training: what is known of how it was trained; kept inside the file and on the card.
        faces: folder of images to compare on; None takes synthetic ones.
        batch_sizes: each is compared.
        tolerance: largest accepted absolute difference; None takes the backend's.

    Returns:
        The card.

    Raises:
        ExportError: the network needs component boxes, the path has another suffix, or the file
            differs from the network by more than the tolerance; `path` is then as it was before.
    """
    path = Path(path)
    _refuse(network, path, backend)
    metadata = {
        "faceskd_version": faceskd.__version__,
        "model": json.dumps(model_config),
        "training": json.dumps(training or {}),
        "precision": backend.precision,
        "scale": str(network.scale),
        "contract": "RGB in [0, 1]: lr (B, 3, 32, 32) -> sr (B, 3, 256, 256), not clamped",
    }
    network = copy.deepcopy(network).cpu().float().eval()
    with atomic_path(path) as temporary:
        backend.write(network, temporary, metadata)
        parity = check_parity(
            network,
            lambda: backend.load(temporary),
            tolerance=backend.tolerance if tolerance is None else tolerance,
            faces=faces,
            batch_sizes=batch_sizes,
        )
    card = _card(network, path, backend, metadata, parity)
    write_text(card_path(path), json.dumps(card, indent=2) + "\n")
    return card


def card_path(path: Path | str) -> Path:
    """Where the card of an exported file is: its name and `.json`."""
    path = Path(path)
    return path.with_name(path.name + ".json")


def _refuse(network: SuperResolver, path: Path, backend: Backend) -> None:
    if network.needs_boxes:
        raise ExportError(
            f"expected a network that needs the LR face only, got {type(network).__name__}, which "
            f"needs component boxes and dictionaries: distil a student and export that"
        )
    if path.suffix != backend.suffix:
        raise ExportError(
            f"expected a file name ending in {backend.suffix} for {backend.format}, "
            f"got {path.name!r}"
        )


def _card(
    network: SuperResolver, path: Path, backend: Backend, metadata: dict[str, str], parity: Parity
) -> dict[str, Any]:
    return {
        "file": path.name,
        "format": backend.format,
        "precision": backend.precision,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "model": json.loads(metadata["model"]),
        "training": json.loads(metadata["training"]),
        "contract": metadata["contract"],
        "parity": parity.as_dict(),
        "versions": {
            "faceskd": faceskd.__version__,
            "torch": str(torch.__version__),
            **{name: _version(name) for name in backend.packages},
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
