"""Peak memory of one network, measured in fresh processes.

On a CPU it is the resident memory of a process minus its resident memory without the network. The
process first makes and runs the network once and drops it. So what is imported, started or kept by
libraries at the first run is not counted: a teacher imports torchvision when it runs first, which
takes more memory than the teacher itself. On a GPU it is the peak of PyTorch's allocator.

Each measurement is repeated in another process. If the values contradict each other, there is no
result but an error.
"""

import ctypes
import gc
import logging
import pickle
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from faceskd.common.errors import MeasurementError, reason
from faceskd.profiling.subjects import Subject

REPEATS = 3
"""Fresh processes per measurement; the median counts."""

TOLERANCE = 0.05
"""Largest accepted difference between repeats, as a share of their median."""

TOLERANCE_BYTES = 4 * 2**20
"""Differences up to this are accepted, too: they are the pages of libraries, not of the network."""

_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"  # proc(5): this value, written to clear_refs, resets VmHWM
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # mallopt(3)
_OWN_PAGES = 64 * 1024  # bytes from which an allocation gets pages of its own

log = logging.getLogger(__name__)


class Memory(NamedTuple):
    """Memory in bytes: of the loaded network, and the peak while it runs."""

    weights: int
    peak: int


def measure_memory(
    name: str,
    subject: Subject,
    lr: Tensor,
    *,
    device: torch.device,
    threads: int,
    repeats: int = REPEATS,
) -> Memory | None:
    """Memory of a subject, the median of fresh processes.

    Args:
        name: name of the subject, for messages.
        subject: subject to measure.
        lr: LR faces (B, 3, 32, 32) of one pass.
        device: device to run on.
        threads: number of threads.
        repeats: number of processes.

    Returns:
        None if the subject cannot run or this system does not report memory; a warning says why.

    Raises:
        MeasurementError: the processes differ by more than `TOLERANCE`.
    """
    if device.type == "cpu" and not _STATUS.is_file():
        log.warning("memory is not measured: this system has no %s", _STATUS)
        return None
    measured = []
    for _ in range(repeats):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            job = pickle.dumps(subject), lr.numpy(), str(device), threads
            try:
                measured.append(pool.submit(_measure, *job).result())
            except BrokenProcessPool:
                log.warning("memory of %s: the process was killed, the model may not fit", name)
                return None
            except Exception as error:
                log.warning("memory of %s: %s", name, reason(error))
                return None
    return typical(name, measured)


def typical(name: str, measured: Sequence[Memory]) -> Memory:
    """The median of repeated measurements.

    Raises:
        MeasurementError: they contradict each other.
    """
    for what in Memory._fields:
        values = [getattr(one, what) for one in measured]
        if max(values) - min(values) > _accepted(median(values)):
            listed = ", ".join(_megabytes(value) for value in values)
            raise MeasurementError(
                f"expected the same memory in each process, got {listed} ({what}) for {name}; "
                "close other programs and try again, or set memory=false"
            )
    return Memory(*(round(median(values)) for values in zip(*measured, strict=True)))


def check_parts(
    subjects: Mapping[str, Subject], measured: Mapping[tuple[str, int], Memory | None]
) -> None:
    """Check that a network with a detector needs at least as much memory as without.

    Args:
        subjects: subjects by name.
        measured: memory by name and batch size.

    Raises:
        MeasurementError: it needs less.
    """
    names = {subject: name for name, subject in subjects.items()}
    for (name, size), whole in measured.items():
        subject = subjects[name]
        alone = names.get(replace(subject, prelude=None)) if subject.prelude else None
        part = measured.get((alone, size)) if alone else None
        if whole is None or part is None:
            continue
        if whole.peak < part.peak - _accepted(part.peak):
            raise MeasurementError(
                f"expected {name} to need at least the memory of {alone}, which is a part of it, "
                f"got {_megabytes(whole.peak)} and {_megabytes(part.peak)} at batch size {size}; "
                "close other programs and try again, or set memory=false"
            )


def _accepted(value: float) -> float:
    return max(TOLERANCE * value, TOLERANCE_BYTES)


def _megabytes(value: int) -> str:
    return f"{value / 1e6:.0f} MB"


def _measure(  # type: ignore[no-untyped-def]
    pickled: bytes, faces, device_name: str, threads: int
) -> Memory:
    """Measure in this process, which must be fresh."""
    _give_memory_back()
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    lr = torch.from_numpy(faces).to(device)
    _run(pickled, lr)
    _reset(device)
    before = _used(device)
    weights = _run(pickled, lr)
    return Memory(max(weights - before, 0), max(_peak(device) - before, 0))


def _run(pickled: bytes, lr: Tensor) -> int:
    """Make a subject, run it twice and drop it. Returns the memory in use before the first run."""
    subject: Subject = pickle.loads(pickled)  # its detector is made anew with each copy
    with torch.inference_mode():
        run = subject.forward(subject.load(lr.device), lr)
        _reset(lr.device)
        weights = _used(lr.device)
        for _ in range(2):  # the second pass is the usual one: buffers are allocated
            run()
    return weights


def _give_memory_back() -> None:
    """Make glibc return freed tensors to the system at once; otherwise they would be counted."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _OWN_PAGES)
        mallopt(_M_ARENA_MAX, 1)


def _reset(device: torch.device) -> None:
    """Drop what is not in use, and reset the peak: building makes temporary copies."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
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
