"""Peak memory of one network, in a process of its own.

On a CPU: resident memory over that of the same process after its imports, before the network is
built, so that neither PyTorch nor another network is counted. On a GPU: the allocator's peak.
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
_RESET_PEAK = "5"  # proc(5): what clear_refs takes to reset VmHWM

log = logging.getLogger(__name__)


class Memory(NamedTuple):
    """Bytes of the network alone, and of the network while it runs, at its peak."""

    weights: int
    peak: int


def measure_memory(
    subject: Subject, lr: Tensor, *, device: torch.device, threads: int
) -> Memory | None:
    """Run a subject in a fresh process; None where it cannot run, or memory cannot be read."""
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
        for _ in range(2):  # the second pass finds the libraries' buffers in place
            run()
    return Memory(max(weights, 0), max(_peak(device) - before, 0))


def _wake_libraries(subject: Subject, device: torch.device) -> None:
    """A first convolution loads kernels and starts threads, which no network should pay for."""
    dtype = DTYPES.get(subject.precision, torch.float32)
    image = torch.rand(1, 8, 16, 16, device=device, dtype=dtype)
    torch.nn.functional.conv2d(image, torch.rand(8, 8, 3, 3, device=device, dtype=dtype))


def _reset(device: torch.device) -> None:
    """Forget the peak of building: copies in other formats are not what running takes."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc keeps freed memory, which would count as weights
        trim(0)
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
    except OSError:
        log.warning("the peak includes that of building: the system does not let it be reset")


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
