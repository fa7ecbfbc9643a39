"""Passes over batches of faces, timed in turn with the probes of the machine's ceiling."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from faceskd.profiling.ceilings import Probe
from faceskd.profiling.end_to_end import FileStore
from faceskd.profiling.subjects import Subject
from faceskd.profiling.timing import interleave, try_out
from faceskd.profiling.work import Loaded

BRIEF = 1.0
"""Seconds. Passes that take less are run for `SETTLING` before they are timed."""

SETTLING = 0.1
"""Seconds for which a pass is run (at least once) right before it is timed. So caches, threads,
clock and allocator are not in the state in which a much larger network left them."""


class Pass(NamedTuple):
    """A timed pass: one subject on one batch, the network alone or file to file."""

    name: str
    batch_size: int
    threads: int
    files: bool = False

    def __str__(self) -> str:
        kind = ", file to file" if self.files else ""
        return f"{self.name}, batch {self.batch_size}, threads {self.threads}{kind}"


Calls = Mapping[Pass, Callable[[], Any]]


def make_passes(
    subjects: Mapping[str, Subject],
    loaded: Loaded,
    lr: Tensor,
    *,
    batch_sizes: Sequence[int],
    store: FileStore | None,
) -> Calls:
    """Passes of every loaded subject at every batch size and number of threads.

    Args:
        subjects: subjects by name.
        loaded: the same subjects, ready to run.
        lr: faces on the device, as many as the largest batch.
        batch_sizes: faces per pass.
        store: LR faces as files; None for no file-to-file passes.
    """
    calls: dict[Pass, Callable[[], Any]] = {}
    for (name, threads), method in loaded.methods.items():
        subject = subjects[name]
        for size in batch_sizes:
            calls[Pass(name, size, threads)] = subject.forward(method, lr[:size])
            if store is not None and not (subject.prelude is None and loaded.needs_boxes(name)):
                restore = subject.restorer(method)
                calls[Pass(name, size, threads, files=True)] = store.forward(restore, size)
    return calls


def try_passes(
    calls: Calls, *, longest: float, device: torch.device
) -> tuple[dict[Pass, float], dict[Pass, str]]:
    """Seconds of a first pass of each call, and for failed or slow calls the reason."""
    return try_out(calls, longest=longest, device=device, before=_use_threads)


def time_passes(
    calls: Calls,
    firsts: Mapping[Pass, float],
    probes: Sequence[Probe],
    *,
    warmup: int,
    repeats: int,
    device: torch.device,
    on_turn: Callable[[], None],
) -> tuple[dict[Pass, list[float]], dict[Probe, list[float]]]:
    """Seconds of the passes in `firsts` (the result of `try_passes`) and of the probes."""
    turns: dict[Pass | Probe, Callable[[], Any]] = {probe: probe for probe in probes}
    turns |= {key: call for key, call in calls.items() if key in firsts}
    few_changes = sorted(turns, key=lambda key: key.threads)

    def settle(key: Pass | Probe) -> None:
        _use_threads(key)
        if isinstance(key, Pass) and firsts[key] < BRIEF:
            end = time.perf_counter() + SETTLING
            calls[key]()
            while time.perf_counter() < end:
                calls[key]()

    seconds = interleave(
        {key: turns[key] for key in few_changes}, warmup=warmup, repeats=repeats, device=device,
        before=settle, on_turn=on_turn,
    )  # fmt: skip
    return (
        {key: times for key, times in seconds.items() if isinstance(key, Pass)},
        {key: times for key, times in seconds.items() if isinstance(key, Probe)},
    )


def _use_threads(key: Pass | Probe) -> None:
    torch.set_num_threads(key.threads)
