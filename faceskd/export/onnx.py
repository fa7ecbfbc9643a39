"""ONNX, run by ONNX Runtime: one self-contained file, any batch size."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faceskd.common.errors import MissingExtraError, WeightsError
from faceskd.common.onnx_session import open_session
from faceskd.export.base import Backend
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse

EXAMPLE_BATCH = 2  # with a batch of one, torch.export would fix the batch size
IR_VERSION_LIMIT = 10  # of ONNX Runtime 1.18, the oldest version that is supported


class Onnx(Backend):
    """Writes a network as ONNX in fp32, for any batch size; input `lr`, output `sr`."""

    format = "onnx"
    suffix = ".onnx"
    arithmetic = "all in fp32, the network fused"
    packages = ("onnx", "onnxscript", "onnxruntime")

    def __init__(self, *, opset: int = 20, tolerance: float = 1e-4) -> None:
        self.opset = opset
        self.tolerance = tolerance

    def write(self, network: SuperResolver, path: Path, metadata: dict[str, str]) -> None:
        """Write the network, with the metadata as `metadata_props`.

        Raises:
            MissingExtraError: onnx or onnxscript is not installed.
        """
        try:
            import onnx  # noqa: F401
            import onnxscript  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(error.name or "onnx", "export") from error
        side = network.size // network.scale
        example = torch.rand(EXAMPLE_BATCH, 3, side, side)
        with quiet():
            torch.onnx.export(
                fuse(network),
                (example,),
                str(path),
                input_names=["lr"],
                output_names=["sr"],
                opset_version=self.opset,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        seal(path, metadata)


class OnnxRuntime:
    """An exported file that is called like a network.

    Attributes:
        metadata: metadata of the file.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        WeightsError: the file is missing, damaged, or was not written by `faceskd export`.
    """

    def __init__(self, path: Path | str, *, device: str = "cpu") -> None:
        path = Path(path)
        self._session = open_session(path, device=device)
        names = [value.name for value in self._session.get_inputs()]
        if names != ["lr"]:
            raise WeightsError(
                f"{path.name}: expected an ONNX file with the one input 'lr', as `faceskd export` "
                f"writes it, got the inputs {names}"
            )
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def __call__(self, lr: Tensor) -> Tensor:
        """LR faces -> SR faces, fp32 on the CPU."""
        return torch.from_numpy(self._session.run(["sr"], {"lr": lr.float().cpu().numpy()})[0])


def seal(path: Path, metadata: dict[str, str]) -> None:
    """Add the metadata to an ONNX file, check the file, and make it readable for older runtimes."""
    import onnx

    model = onnx.load(path)
    model.ir_version = min(model.ir_version, IR_VERSION_LIMIT)
    onnx.helper.set_model_props(model, metadata | {"opset": str(_opset(model))})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _opset(model: Any) -> int:
    return next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the exporter's warnings and logs. Whether the export is correct is checked later."""
    names = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
