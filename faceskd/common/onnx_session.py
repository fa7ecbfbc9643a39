"""Open ONNX files with ONNX Runtime."""

from pathlib import Path
from typing import Any

import torch

from faceskd.common.errors import MissingExtraError, WeightsError
from faceskd.common.machine import checked_device


def open_session(path: Path | str, *, device: str = "cpu") -> Any:
    """An `onnxruntime.InferenceSession` with as many threads as PyTorch uses.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        WeightsError: the file is missing or damaged, or onnxruntime cannot use the device.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "export") from error
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"expected an ONNX file at {str(path)!r}, but there is no such file")
    providers = ["CPUExecutionProvider"]
    if checked_device(device).type == "cuda":
        providers.insert(0, "CUDAExecutionProvider")
    available = onnxruntime.get_available_providers()
    if not set(providers) <= set(available):
        raise WeightsError(
            f"the installed onnxruntime cannot use a GPU, it has {available}; use device=cpu or "
            f"install onnxruntime-gpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except Exception as error:  # its exceptions share no base class
        raise WeightsError(f"{str(path)!r} is not an ONNX file that can be run: {error}") from error
