"""Export networks to other runtimes, and check that the exported files compute the same.

`export_network` writes a file, runs it with its own runtime, and compares the result with PyTorch.
Only a file that passes gets its name. `load_exported` loads a file of any format as a function. To
add a format, write a class derived from `Backend` in this folder and a config in `conf/format/`.
"""

import copy
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from faceskd.common.errors import ExportError
from faceskd.common.files import atomic_path, sha256, write_text
from faceskd.common.version import __version__
from faceskd.export.base import Backend, Limits
from faceskd.export.loading import Exported, load_exported
from faceskd.export.parity import BATCH_SIZES, Parity, check_parity
from faceskd.models.base import SuperResolver
from faceskd.models.registry import to_stored

if TYPE_CHECKING:
    from faceskd.data.pairs import FacePairs

__all__ = ["Backend", "Exported", "Limits", "card_path", "export_network", "load_exported"]


def export_network(
    network: SuperResolver,
    path: Path | str,
    *,
    backend: Backend,
    model_config: dict[str, Any],
    training: dict[str, Any] | None = None,
    faces: "FacePairs | None" = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    tolerance: float | None = None,
) -> dict[str, Any]:
    """Export a network, compare the file with the network, and write the card of the file.

    Args:
        network: network, see "Contracts" in CONTRIBUTING.md; it is not changed.
        path: file to write. The card is written to `<path>.json`.
        model_config: config from which the network can be built; stored in the file.
        training: description of the training; stored in the file and in the card.
        faces: real faces to compare on; quality is measured on them, too, and stored in the card.
            None: compare on synthetic faces, and do not measure quality.
        batch_sizes: batch sizes to compare at.
        tolerance: largest accepted absolute difference; None: that of the backend.

    Returns:
        The card.

    Raises:
        ExportError: the network needs component boxes, the path has a wrong suffix, or the file
            differs too much from the network. Then `path` stays as it was.
    """
    path = Path(path)
    _refuse(network, path, backend)
    lr_size = network.size // network.scale
    metadata = {
        "faceskd_version": __version__,
        "model": json.dumps(to_stored(model_config)),
        "training": json.dumps(training or {}),
        "format": backend.format,
        "precision": backend.precision,
        "scale": str(network.scale),
        "size": str(network.size),
        "contract": f"RGB in [0, 1]: lr (B, 3, {lr_size}, {lr_size}) -> "
        f"sr (B, 3, {network.size}, {network.size}), not clamped",
    }
    network = copy.deepcopy(network).cpu().float().eval()
    with atomic_path(path) as temporary:
        backend.write(network, temporary, metadata)
        parity = check_parity(
            network,
            lambda: load_exported(temporary, device=backend.device),
            tolerance=backend.tolerance if tolerance is None else tolerance,
            least_psnr=backend.least_psnr,
            faces=faces,
            batch_sizes=batch_sizes,
        )
        quality = None if faces is None else _quality(network, temporary, backend, faces)
    card = _card(network, path, backend, metadata, parity, quality)
    write_text(card_path(path), json.dumps(card, indent=2) + "\n")
    return card


def card_path(path: Path | str) -> Path:
    """Path of the card of an exported file: its path with `.json` added."""
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


def _quality(
    network: SuperResolver, path: Path, backend: Backend, faces: "FacePairs"
) -> dict[str, Any]:
    from faceskd.export.quality import measure_quality  # not needed to load files

    quality = measure_quality(
        network,
        load_exported(path, device=backend.device),
        faces,
        limits=backend.limits,
        arithmetic=backend.arithmetic,
    )
    return quality.as_dict()


def _card(
    network: SuperResolver,
    path: Path,
    backend: Backend,
    metadata: dict[str, str],
    parity: Parity,
    quality: dict[str, Any] | None,
) -> dict[str, Any]:
    return {
        "file": path.name,
        "format": backend.format,
        "precision": backend.precision,
        "arithmetic": backend.arithmetic,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "model": json.loads(metadata["model"]),
        "training": json.loads(metadata["training"]),
        "contract": metadata["contract"],
        "parity": parity.as_dict(),
        "quality": quality,
        "versions": {
            "faceskd": __version__,
            "torch": str(torch.__version__),
            **{name: _version(name) for name in backend.packages},
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
