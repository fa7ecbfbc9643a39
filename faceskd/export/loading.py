"""Load an exported file as a function of LR faces; its suffix decides which runtime is used."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.export.eager import eager
from faceskd.models.weights import load_network, read_metadata


@dataclass(frozen=True)
class Exported:
    """A loaded file: a function, fp32 LR faces (B, 3, 32, 32) -> fp32 SR faces (B, 3, 256, 256).

    SR faces are not clamped. They are on the device that computed them.

    Attributes:
        format: a name of `conf/format/`, or "ckpt" for a checkpoint.
        precision: number format of the computation.
        run: the function.
    """

    format: str
    precision: str
    run: Callable[[Tensor], Tensor]

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
    details = {"format": path.suffix[1:], "precision": "fp32"} | read_metadata(path)
    precision = precision or details["precision"]
    run = eager(load_network(path), precision=precision, device=device)
    return Exported(details["format"], precision, run)


def _load_onnx(path: Path, device: str, precision: str | None) -> Exported:
    from faceskd.export.onnx import OnnxRuntime

    runtime = OnnxRuntime(path, device=device)
    details = {"format": "onnx", "precision": "fp32"} | runtime.metadata
    return Exported(details["format"], details["precision"], runtime)


def _load_compiled(path: Path, device: str, precision: str | None) -> Exported:
    from faceskd.export.aot import Compiled

    compiled = Compiled(path, device=device)
    return Exported(compiled.metadata["format"], compiled.metadata["precision"], compiled)


LOADERS = {
    ".safetensors": _load_weights,
    ".ckpt": _load_weights,
    ".onnx": _load_onnx,
    ".pt2": _load_compiled,
}
