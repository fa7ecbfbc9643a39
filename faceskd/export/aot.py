"""AOTInductor: compile a network to native code ahead of time, in bf16 with channels_last.

A .pt2 file is a program, and loading it executes it. It is not safe like safetensors or ONNX: load
only files that you compiled yourself or trust like a program. The file works only with the kind of
processor and the PyTorch version of the machine that compiled it.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faceskd.common.errors import ConfigError, ExportError, WeightsError
from faceskd.common.machine import checked_device
from faceskd.export.base import Backend
from faceskd.export.eager import ARITHMETIC, Served
from faceskd.models.base import SuperResolver

EXAMPLE_BATCH = 2  # with a batch of one, torch.export would fix the batch size
METADATA_SUFFIX = ".wrapper_metadata.json"


class Aot(Backend):
    """Writes a network as native code for the processor of this machine, for any batch size.

    Args:
        tolerance: largest accepted difference from fp32 images, which are in [0, 1].
        least_psnr: smallest accepted PSNR against fp32 images, in dB.
    """

    format = "aot"
    suffix = ".pt2"
    precision = "bf16"
    arithmetic = f"compiled: {ARITHMETIC['bf16']}"

    def __init__(self, *, tolerance: float = 0.1, least_psnr: float = 40.0) -> None:
        self.tolerance = tolerance
        self.least_psnr = least_psnr

    def write(self, network: SuperResolver, path: Path, metadata: dict[str, str]) -> None:
        """Compile the network; this takes about a minute.

        Raises:
            ExportError: there is no C++ compiler.
        """
        _check_compiler()
        metadata = metadata | {"processor": _processor()}
        side = network.size // network.scale
        example = torch.rand(EXAMPLE_BATCH, 3, side, side)
        with torch.no_grad():
            program = torch.export.export(
                Served(network, self.precision, torch.device("cpu")).eval(),
                (example,),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
            torch._inductor.aoti_compile_and_package(
                program,
                package_path=str(path),
                inductor_configs={
                    # Lets the compiler fuse activations and additions into convolutions.
                    "freezing": True,
                    # Otherwise the number of threads at export may be fixed.
                    "cpp.dynamic_threads": True,
                    "aot_inductor.metadata": metadata,
                },
            )


class Compiled:
    """A package of native code that is called like a network.

    Attributes:
        metadata: metadata of the file.

    Raises:
        WeightsError: the file is damaged or is not from `faceskd export`; it is not executed.
        ConfigError: it was compiled for another kind of processor, or the device is a GPU.
    """

    def __init__(self, path: Path, *, device: str = "cpu") -> None:
        self.metadata = _read_metadata(path)
        if checked_device(device).type != "cpu":
            raise ConfigError(f"{path.name} is compiled for the CPU, got the device {device!r}")
        if self.metadata["processor"] != _processor():
            raise ConfigError(
                f"{path.name} is compiled for processors with {self.metadata['processor']}, this "
                f"one has {_processor()}: export it on this machine"
            )
        try:
            self._run = torch._inductor.aoti_load_package(str(path))
        except Exception as error:
            raise WeightsError(f"{path.name}: not a package that can be run ({error})") from error

    @torch.inference_mode()
    def __call__(self, lr: Tensor) -> Tensor:
        """LR faces -> SR faces, fp32 on the CPU."""
        return self._run(lr.float().cpu().contiguous())


def _check_compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        raise ExportError(
            "aot compiles C++ and found no working compiler: install g++ or clang++, or name one "
            "in the environment variable CXX"
        ) from error


def _processor() -> str:
    """The widest vector instructions of this processor, such as AVX512; the code needs them."""
    return torch.backends.cpu.get_cpu_capability()


def _read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a package, read without executing it."""
    try:
        with zipfile.ZipFile(path) as package:
            name = next(name for name in package.namelist() if name.endswith(METADATA_SUFFIX))
            metadata = json.loads(package.read(name))
    except (zipfile.BadZipFile, StopIteration, ValueError) as error:
        raise WeightsError(f"{path.name}: not a whole package of AOTInductor") from error
    if metadata.get("format") != Aot.format:
        raise WeightsError(
            f"{path.name}: expected a package that `faceskd export format=aot` wrote, got "
            f"another one"
        )
    return metadata
