"""Load an exported file as a function of LR faces; its suffix decides which runtime is used."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.export.eager import eager
from faceskd.models.base import SuperResolver
from faceskd.models.registry import from_stored
from faceskd.models.weights import read_weights, stored_network, stored_purpose


@dataclass(frozen=True)
class Exported:
    """A loaded file: a function, fp32 LR faces (B, 3, S, S) -> fp32 SR faces of `size` px.

    S is size / scale, such as 256 / 8 or 512 / 1. SR faces are not clamped. They are on the device
    that computed them.

    Attributes:
        format: a name of `conf/format/`, or "ckpt" for a checkpoint.
        precision: number format of the computation.
        run: the function.
        scale, size, purpose: of the network (`faceskd.models.base.SuperResolver`).
    """

    format: str
    precision: str
    run: Callable[[Tensor], Tensor]
    scale: int = SuperResolver.scale
    size: int = SuperResolver.size
    purpose: str = SuperResolver.purpose

    def __call__(self, lr: Tensor) -> Tensor:
        """LR faces -> SR faces."""
        return self.run(lr)


def load_exported(
    path: Path | str, *, device: str = "cpu", precision: str | None = None
) -> Exported:
    """Load a file that `faceskd export` or `faceskd train` wrote.

    Args:
        path: .safetensors, .ckpt, .onnx or .pt2. Loading a .pt2 file executes native code: load
            only files that you compiled yourself or trust like a program.
        device: "cpu", "cuda", "cuda:1", ...
        precision: None: the precision of the file, which is fp32 for files of a training. For
            .safetensors and .ckpt, another one can be given.

    Raises:
        WeightsError: the file is missing, damaged, of another kind, or contains a teacher.
        ConfigError: the file cannot be run on this device or in this precision.
        MissingExtraError: the runtime of the file is not installed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"expected a weights file at {str(path)!r}, found none")
    if path.suffix not in LOADERS:
        raise WeightsError(f"expected a file ending in {', '.join(LOADERS)}, got {path.name!r}")
    exported = LOADERS[path.suffix](path, device, precision)
    if precision not in (None, exported.precision):
        raise ConfigError(
            f"expected precision={exported.precision} for {path.name}, got {precision}; only "
            f".safetensors and .ckpt files can be run in another precision"
        )
    return exported


def _load_weights(path: Path, device: str, precision: str | None) -> Exported:
    stored = read_weights(path)
    details = {"format": path.suffix[1:], "precision": "fp32"} | stored.metadata
    precision = precision or details["precision"]
    network = stored_network(stored, path)
    run = eager(network, precision=precision, device=device)
    purpose = stored_purpose(stored.config, stored.metadata)
    return Exported(details["format"], precision, run, network.scale, network.size, purpose)


def _load_onnx(path: Path, device: str, precision: str | None) -> Exported:
    from faceskd.export.onnx import OnnxRuntime

    runtime = OnnxRuntime(path, device=device)
    details = {"format": "onnx", "precision": "fp32"} | runtime.metadata
    return Exported(details["format"], details["precision"], runtime, *_stated(details))


def _load_compiled(path: Path, device: str, precision: str | None) -> Exported:
    from faceskd.export.aot import Compiled

    compiled = Compiled(path, device=device)
    details = compiled.metadata
    return Exported(details["format"], details["precision"], compiled, *_stated(details))


def _stated(details: Mapping[str, str]) -> tuple[int, int, str]:
    """Scale, size and purpose that a file states; files of release 0.1 state no size."""
    scale = int(details.get("scale", SuperResolver.scale))
    config = from_stored(json.loads(details.get("model", "{}")))
    training = json.loads(details.get("training", "{}"))
    purpose = stored_purpose(config, training) if config else SuperResolver.purpose
    return scale, int(details.get("size", SuperResolver.size)), purpose


LOADERS = {
    ".safetensors": _load_weights,
    ".ckpt": _load_weights,
    ".onnx": _load_onnx,
    ".pt2": _load_compiled,
}
