"""The result of a profile, and how it is computed from the measurements."""

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
    """The cost of one subject at one batch size and thread count. None: not measured.

    Attributes:
        name: name of the subject, with its form.
        model: name of the network, without its form.
        batch_size: faces per pass.
        threads: number of threads.
        parameters: parameters of the network, without dictionaries.
        macs: multiply-accumulates per face (`faceskd.profiling.work.count_macs`).
        latency_ms: median time of a pass, including the detection of boxes, if any.
        latency_p90_ms: 90th percentile of the time of a pass.
        faces_per_second: faces per pass divided by the median time.
        ratio: median time of the reference divided by this median time, at the same batch size and
            thread count; above 1 is faster.
        ceiling_fraction: 2 x macs per second, divided by the machine's highest FLOP/s in this
            precision and with these threads.
        convolution_fraction: the same, divided by the highest FLOP/s of a convolution.
        file_to_file_ms: median time of a pass that also reads LR faces from PNG files and writes SR
            faces to PNG files, one after another.
        file_to_file_p90_ms: 90th percentile of the same.
        weights_bytes: memory of the loaded network, including dictionaries.
        peak_bytes: peak memory while the network runs: weights and activations.
        peak_over_bicubic_bytes: `peak_bytes` minus the smallest peak of bicubic in this run.
        dictionary_bytes: memory of the dictionaries.
        quality: mean metrics of the restored faces, if an evaluation was given.
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
    """The result of one profiling run.

    Attributes:
        rows: one for each subject, batch size and thread count.
        ceilings: the machine's ceilings.
        left_out: what was not measured, with the reason.
        machine: description of the machine.
        settings: settings of the run.
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
    """One row for each network pass, sorted by thread count, batch size and order of subjects."""
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
