"""What networks cost: time, work and memory, side by side in one run.

Models take turns (A B C A B C ...), so that whatever else the machine does falls on all of them
alike; only ratios of one run are compared. The machine's own ceiling is measured in the same
turns.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from faceskd.errors import ConfigError
from faceskd.lr_faces import sample_lr_faces
from faceskd.machine import machine_summary
from faceskd.models.base import SuperResolver
from faceskd.profiling.ceilings import ceilings, probes
from faceskd.profiling.memory import Memory, measure_memory
from faceskd.profiling.subjects import Subject

__all__ = ["Profile", "ProfileRow", "Subject", "count_macs", "interleave", "profile_models"]


@dataclass(frozen=True)
class ProfileRow:
    """The cost of one subject at one batch size; None is not measured.

    Attributes:
        name: of the subject.
        batch_size: faces of a pass.
        parameters: of the network, dictionaries left out.
        macs: multiply-accumulates of a face (`count_macs`).
        latency_ms: median time of a pass, the prelude included.
        latency_p90_ms: nine passes of ten are faster.
        faces_per_second: faces of a pass over its median time.
        ratio: the reference's median time over this one's at this batch size: times faster.
        ceiling_fraction: 2 macs a second, over the best FLOP/s of this machine in this form.
        weights_bytes: memory of the network, dictionaries included.
        peak_bytes: memory of the network while it runs: weights and activations.
        dictionary_bytes: of the dictionaries.
    """

    name: str
    batch_size: int
    parameters: int
    macs: int
    latency_ms: float
    latency_p90_ms: float
    faces_per_second: float
    ratio: float | None
    ceiling_fraction: float | None
    weights_bytes: int | None
    peak_bytes: int | None
    dictionary_bytes: int


@dataclass(frozen=True)
class Profile:
    """A run: its rows, the ceilings in FLOP/s by form and operation, and what it ran on."""

    rows: list[ProfileRow]
    ceilings: dict[str, dict[str, float]]
    machine: dict[str, Any]
    settings: dict[str, Any]


def profile_models(
    subjects: Mapping[str, Subject],
    *,
    batch_sizes: Sequence[int] = (1,),
    threads: int | None = None,
    warmup: int = 3,
    repeats: int = 20,
    device: str = "cpu",
    faces: Path | str | None = None,
    reference: str | None = None,
    memory: bool = True,
    ceiling: bool = True,
    on_turn: Callable[[], None] = lambda: None,
) -> Profile:
    """Measure networks side by side.

    Args:
        subjects: by name.
        batch_sizes: faces of a pass; each subject is measured at each.
        threads: of torch; None leaves its choice.
        warmup: turns before the measured ones.
        repeats: measured turns.
        device: "cpu", "cuda", ...
        faces: folder of aligned faces; None draws synthetic ones.
        reference: name of the subject that `ratio` compares with; None takes the first.
        memory: whether memory is measured; each subject then runs in a process of its own.
        ceiling: whether the machine's ceiling is measured.
        on_turn: called after each turn.

    Raises:
        ConfigError: no subject, an unknown reference, or an impossible setting.
    """
    reference = _check(subjects, batch_sizes, warmup, repeats, reference)
    place = torch.device(device)
    lr = sample_lr_faces(max(batch_sizes), faces)
    cells = {(name, size): subjects[name] for size in batch_sizes for name in subjects}
    with _threads(threads):
        # Memory first: a process beside loaded networks has less of the machine.
        remembered = _memory(cells, lr, place) if memory else {}
        lr = lr.to(place)
        networks = _networks(subjects, place)
        forms = sorted({subject.form for subject in subjects.values()})
        ladder = probes(forms, place) if ceiling else []
        calls: dict[Any, Callable[[], Tensor]] = {probe: probe for probe in ladder}
        for (name, size), subject in cells.items():
            calls[name, size] = subject.prepare(networks[name], lr[:size])
        seconds = interleave(calls, warmup=warmup, repeats=repeats, device=place, on_turn=on_turn)
        macs = {name: count_macs(networks[name], subjects[name], lr[:1]) for name in subjects}
        machine = machine_summary()
    tops = ceilings({probe: seconds[probe] for probe in ladder})
    rows = [
        _row(
            cell,
            networks[cell[0]],
            macs[cell[0]],
            seconds[cell],
            reference=float(np.median(seconds[reference, cell[1]])),
            ceiling=max(tops[subject.form].values()) if ceiling else None,
            memory=remembered.get(cell),
        )
        for cell, subject in cells.items()
    ]
    settings = {"warmup": warmup, "repeats": repeats, "device": device, "reference": reference}
    return Profile(rows, tops, machine, settings)


def interleave(
    calls: Mapping[Any, Callable[[], Any]],
    *,
    warmup: int,
    repeats: int,
    device: torch.device | None = None,
    on_turn: Callable[[], None] = lambda: None,
) -> dict[Any, list[float]]:
    """Seconds of each call, the calls taking turns: A B C A B C ...

    Args:
        calls: what is timed, by any key.
        warmup: turns that are run and not counted.
        repeats: turns that are counted.
        device: waited for before each reading of the clock.
        on_turn: called after each turn.
    """
    seconds: dict[Any, list[float]] = {key: [] for key in calls}
    with torch.inference_mode():
        for turn in range(warmup + repeats):
            for key, call in calls.items():
                _wait(device)
                start = time.perf_counter()
                call()
                _wait(device)
                if turn >= warmup:
                    seconds[key].append(time.perf_counter() - start)
            on_turn()
    return seconds


def count_macs(network: SuperResolver, subject: Subject, lr: Tensor) -> int:
    """Multiply-accumulates of a pass over `lr`, half of what FlopCounterMode counts.

    It counts convolutions and matrix products, 2 FLOP a multiply-accumulate; element-wise
    operations, interpolation by gathering and RoIAlign count nothing, and neither does a prelude.
    """
    run = Subject(subject.build, subject.form).prepare(network, lr)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() // 2


def _row(
    cell: tuple[str, int],
    network: SuperResolver,
    macs: int,
    seconds: Sequence[float],
    *,
    reference: float,
    ceiling: float | None,
    memory: Memory | None,
) -> ProfileRow:
    name, batch_size = cell
    median, p90 = np.percentile(seconds, [50, 90]).tolist()
    return ProfileRow(
        name=name,
        batch_size=batch_size,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        macs=macs,
        latency_ms=median * 1e3,
        latency_p90_ms=p90 * 1e3,
        faces_per_second=batch_size / median,
        ratio=reference / median,
        ceiling_fraction=2 * macs * batch_size / median / ceiling if ceiling else None,
        weights_bytes=memory.weights if memory else None,
        peak_bytes=memory.peak if memory else None,
        dictionary_bytes=getattr(network, "dictionary_bytes", 0),
    )


def _memory(
    cells: Mapping[tuple[str, int], Subject], lr: Tensor, device: torch.device
) -> dict[tuple[str, int], Memory | None]:
    threads = torch.get_num_threads()
    return {
        (name, size): measure_memory(subject, lr[:size], device=device, threads=threads)
        for (name, size), subject in cells.items()
    }


def _networks(subjects: Mapping[str, Subject], device: torch.device) -> dict[str, SuperResolver]:
    made: dict[tuple[int, str], SuperResolver] = {}
    networks = {}
    for name, subject in subjects.items():
        key = (id(subject.build), subject.form)
        if key not in made:
            made[key] = subject.network(device)
        networks[name] = made[key]
    return networks


def _check(
    subjects: Mapping[str, Subject],
    batch_sizes: Sequence[int],
    warmup: int,
    repeats: int,
    reference: str | None,
) -> str:
    if not subjects:
        raise ConfigError("expected at least one model to profile, got none")
    if not batch_sizes or min(batch_sizes) < 1 or repeats < 1 or warmup < 0:
        raise ConfigError(
            f"expected batch sizes and repeats of at least 1 and warmup of at least 0, got "
            f"batch_sizes={list(batch_sizes)}, {repeats=}, {warmup=}"
        )
    reference = reference or next(iter(subjects))
    if reference not in subjects:
        raise ConfigError(f"expected a reference of {list(subjects)}, got {reference!r}")
    return reference


def _wait(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
