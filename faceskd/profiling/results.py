"""What a profile is made of, and how it follows from what was measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faceskd.profiling.ceilings import Ceiling, best
from faceskd.profiling.memory import Memory
from faceskd.profiling.passes import Pass
from faceskd.profiling.subjects import Subject
from faceskd.profiling.work import Work

BICUBIC = "bicubic"


@dataclass(frozen=True)
class ProfileRow:
    """The cost of one subject at one batch size and number of threads; None is not measured.

    Attributes:
        name: of the subject.
        model: of the network, whatever its form.
        batch_size: faces of a pass.
        threads: that it ran with.
        parameters: of the network, dictionaries left out.
        macs: multiply-accumulates of a face (`faceskd.profiling.work.count_macs`).
        latency_ms: median time of a pass, the prelude included.
        latency_p90_ms: nine passes of ten are faster.
        faces_per_second: faces of a pass over its median time.
        ratio: the reference's median time over this one's, at this batch size and with these
            threads: times faster.
        ceiling_fraction: 2 macs a second, over the best FLOP/s of this machine in this precision
            and with these threads.
        convolution_fraction: the same, over the best of the convolutions.
        file_to_file_ms: median time of a pass that also reads its LR faces from PNG files and
            writes its SR faces to such, one after the other.
        file_to_file_p90_ms: nine of ten are faster.
        weights_bytes: memory of the network, dictionaries included.
        peak_bytes: memory of the network while it runs: weights and activations.
        peak_over_bicubic_bytes: `peak_bytes` less the least of bicubic interpolation in this run.
        dictionary_bytes: of the dictionaries.
        quality: mean figures of the restored faces, where an evaluation was given.
    """

    name: str
    model: str
    batch_size: int
    threads: int
    parameters: int | None
    macs: int | None
    latency_ms: float
    latency_p90_ms: float
    faces_per_second: float
    ratio: float | None
    ceiling_fraction: float | None
    convolution_fraction: float | None
    file_to_file_ms: float | None
    file_to_file_p90_ms: float | None
    weights_bytes: int | None
    peak_bytes: int | None
    peak_over_bicubic_bytes: int | None
    dictionary_bytes: int | None
    quality: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """A run.

    Attributes:
        rows: what was measured.
        ceilings: what the machine itself can do.
        left_out: what was not measured, and why.
        machine: what it ran on.
        settings: how.
    """

    rows: list[ProfileRow]
    ceilings: list[Ceiling]
    left_out: dict[str, str]
    machine: dict[str, Any]
    settings: dict[str, Any]


def make_rows(
    subjects: Mapping[str, Subject],
    seconds: Mapping[Pass, Sequence[float]],
    *,
    work: Mapping[str, Work],
    memory: Mapping[tuple[str, int], Memory | None],
    tops: Sequence[Ceiling],
    reference: str,
) -> list[ProfileRow]:
    """A row for each pass of a network alone, in the order of the subjects within a setting."""
    order = list(subjects)
    cells = sorted(
        (key for key in seconds if not key.files),
        key=lambda key: (key.threads, key.batch_size, order.index(key.name)),
    )
    return [_row(key, subjects, seconds, work, memory, tops, reference) for key in cells]


def _row(
    key: Pass,
    subjects: Mapping[str, Subject],
    seconds: Mapping[Pass, Sequence[float]],
    work: Mapping[str, Work],
    memory: Mapping[tuple[str, int], Memory | None],
    tops: Sequence[Ceiling],
    reference: str,
) -> ProfileRow:
    name, size, threads, _ = key
    subject, done = subjects[name], work.get(name)
    median, p90 = _percentiles(seconds[key])
    files = seconds.get(key._replace(files=True))
    files_median, files_p90 = _percentiles(files) if files else (None, None)
    others = seconds.get(key._replace(name=reference))
    flops = 2 * done.macs * size / median if done else None
    used = memory.get((name, size))
    floor = _bicubic_peak(subjects, memory, size)
    return ProfileRow(
        name=name,
        model=subject.model or name,
        batch_size=size,
        threads=threads,
        parameters=done.parameters if done else None,
        macs=done.macs if done else None,
        latency_ms=median * 1e3,
        latency_p90_ms=p90 * 1e3,
        faces_per_second=size / median,
        ratio=float(np.median(others)) / median if others else None,
        ceiling_fraction=_fraction(flops, best(tops, subject.precision, threads)),
        convolution_fraction=_fraction(
            flops, best(tops, subject.precision, threads, convolution=True)
        ),
        file_to_file_ms=files_median * 1e3 if files_median else None,
        file_to_file_p90_ms=files_p90 * 1e3 if files_p90 else None,
        weights_bytes=used.weights if used else None,
        peak_bytes=used.peak if used else None,
        peak_over_bicubic_bytes=used.peak - floor if used and floor is not None else None,
        dictionary_bytes=done.dictionary_bytes if done else None,
    )


def _percentiles(times: Sequence[float]) -> tuple[float, float]:
    median, p90 = np.percentile(times, [50, 90]).tolist()
    return median, p90


def _fraction(flops: float | None, ceiling: float | None) -> float | None:
    return flops / ceiling if flops is not None and ceiling else None


def _bicubic_peak(
    subjects: Mapping[str, Subject], memory: Mapping[tuple[str, int], Memory | None], size: int
) -> int | None:
    peaks = [
        used.peak
        for (name, batch), used in memory.items()
        if used and batch == size and subjects[name].model == BICUBIC
    ]
    return min(peaks, default=None)
