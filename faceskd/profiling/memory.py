"""Peak memory of one network, measured in a separate process.

On a CPU it is the resident memory of the process minus the resident memory after all imports,
before the network is built. So neither PyTorch nor other networks are counted. On a GPU it is the
peak of PyTorch's allocator.
"""

import ctypes
import gc
import importlib
import logging
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from faceskd.common.errors import reason
from faceskd.export.eager import DTYPES
from faceskd.profiling.subjects import Subject

_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"  # proc(5): this value, written to clear_refs, resets VmHWM

log = logging.getLogger(__name__)


class Memory(NamedTuple):
    """Memory in bytes: of the loaded network, and the peak while it runs."""

    weights: int
    peak: int


def measure_memory(
    subject: Subject, lr: Tensor, *, device: torch.device, threads: int
) -> Memory | None:
    """Memory of a subject, from a fresh process; None if it cannot run or memory cannot be read."""
    if device.type == "cpu" and not _STATUS.is_file():
        log.warning("memory is not measured: this system has no %s", _STATUS)
        return None
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_measure, subject, lr.numpy(), str(device), threads).result()
        except BrokenProcessPool:
            log.warning("the process that measured memory was killed: the model may not fit")
        except Exception as error:
            log.warning("memory of %s@%s: %s", subject.model, subject.form, reason(error))
    return None


def _measure(subject: Subject, faces, device_name: str, threads: int) -> Memory:  # type: ignore[no-untyped-def]
    for module in subject.imports:
        importlib.import_module(module)
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    lr = torch.from_numpy(faces).to(device)
    _wake_libraries(subject, device)
    before = _used(device)
    with torch.inference_mode():
        method = subject.load(device)
        run = subject.forward(method, lr)
        _reset(device)
        weights = _used(device) - before
        for _ in range(2):  # in the second pass, the libraries have allocated their buffers
            run()
    return Memory(max(weights, 0), max(_peak(device) - before, 0))


def _wake_libraries(subject: Subject, device: torch.device) -> None:
    """Run one convolution: it loads kernels and starts threads, which should not be counted."""
    dtype = DTYPES.get(subject.precision, torch.float32)
    image = torch.rand(1, 8, 16, 16, device=device, dtype=dtype)
    torch.nn.functional.conv2d(image, torch.rand(8, 8, 3, 3, device=device, dtype=dtype))


def _reset(device: torch.device) -> None:
    """Reset the peak after the network was built, because building makes temporary copies."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc keeps freed memory, which would be counted
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    except OSError:
        log.warning("the peak includes memory used while building: this system cannot reset it")


def _used(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return _status("VmRSS")


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM")


def _status(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise OSError(f"{_STATUS} has no {field}")
