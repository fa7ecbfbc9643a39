"""Measure time, work and memory of several networks in one run.

Models run in turn (A B C A B C ...), so that other load on the machine affects all of them equally.
Compare only ratios within one run. The machine's ceiling is measured in the same turns.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from faceskd.common.checks import check_all_whole, check_choice, check_whole
from faceskd.common.errors import ConfigError
from faceskd.common.machine import checked_device, machine_summary
from faceskd.data.sample_faces import sample_lr_faces
from faceskd.profiling.ceilings import ceilings, probes
from faceskd.profiling.end_to_end import FileStore
from faceskd.profiling.memory import Memory, check_parts, measure_memory
from faceskd.profiling.passes import make_passes, time_passes, try_passes
from faceskd.profiling.results import Profile, make_rows
from faceskd.profiling.subjects import Subject
from faceskd.profiling.timing import threads_kept
from faceskd.profiling.work import load_subjects


def profile_models(
    subjects: Mapping[str, Subject],
    *,
    batch_sizes: Sequence[int] = (1,),
    threads: Sequence[int] | None = None,
    warmup: int = 3,
    repeats: int = 20,
    longest: float = 60,
    device: str = "cpu",
    faces: Path | str | None = None,
    reference: str | None = None,
    end_to_end: bool = True,
    memory: bool = True,
    ceiling: bool = True,
    left_out: Mapping[str, str] | None = None,
    progress: bool = False,
) -> Profile:
    """Measure networks in turn. A subject that cannot run is left out, and the reason is recorded.

    Args:
        subjects: subjects by name.
        batch_sizes: faces per pass; each subject is measured at each batch size.
        threads: thread counts; each subject is measured with each. None for PyTorch's default.
        warmup: turns that are run but not measured.
        repeats: measured turns.
        longest: seconds. A subject whose first pass takes longer is left out.
        device: "cpu", "cuda", ...
        faces: folder of aligned faces; None for synthetic faces.
        reference: name of the subject that `ratio` compares with; None for the first.
        end_to_end: whether to measure file-to-file passes, too. There are none for networks whose
            boxes are given, because files contain no boxes.
        memory: whether to measure memory, in fresh processes, with the most threads.
        ceiling: whether to measure the machine's ceiling.
        left_out: subjects that could not be made, with the reasons; added to the result.
        progress: whether to show a progress bar.

    Raises:
        ConfigError: no subject can run, the reference is not among the subjects, or a setting is
            invalid.
        MeasurementError: measurements of memory contradict each other.
    """
    counts = threads or [torch.get_num_threads()]
    excuses = dict(left_out or {})
    _check(subjects, excuses, batch_sizes, counts, warmup, repeats)
    counts = sorted(set(counts))
    reference = _reference(subjects, excuses, reference)
    place = checked_device(device)
    lr = sample_lr_faces(max(batch_sizes), faces)
    bar = Progress(console=Console(stderr=True), disable=not progress)
    with threads_kept(), TemporaryDirectory() as folder, bar:
        # Memory first, so that the networks loaded later do not take memory from these processes.
        used = _memory(subjects, lr, batch_sizes, place, counts[-1], bar) if memory else {}
        loaded = load_subjects(subjects, counts, place)
        store = FileStore(lr, Path(folder)) if end_to_end else None
        calls = make_passes(subjects, loaded, lr.to(place), batch_sizes=batch_sizes, store=store)
        firsts, failures = try_passes(calls, longest=longest, device=place)
        excuses |= loaded.failures | {str(key): why for key, why in failures.items()}
        if all(key.files for key in firsts):
            raise ConfigError(
                f"expected at least one model that can run here, got none: {_listed(excuses)}"
            )
        precisions = {subjects[key.name].precision for key in firsts} if ceiling else ()
        ladder = probes(sorted(precisions), place, batch_sizes=batch_sizes, threads=counts)
        task = bar.add_task("time", total=warmup + repeats)
        seconds, probed = time_passes(
            calls, firsts, ladder, warmup=warmup, repeats=repeats, device=place,
            on_turn=lambda: bar.advance(task),
        )  # fmt: skip
    tops = ceilings(probed)
    rows = make_rows(
        subjects, seconds, work=loaded.work, memory=used, tops=tops, reference=reference
    )
    machine = machine_summary() | {"threads": ", ".join(map(str, counts))}
    settings = {"warmup": warmup, "repeats": repeats, "longest": longest, "device": device,
                "faces": str(faces or "synthetic"), "reference": reference}  # fmt: skip
    return Profile(rows, tops, excuses, machine, settings)


def _memory(
    subjects: Mapping[str, Subject],
    lr: Tensor,
    batch_sizes: Sequence[int],
    device: torch.device,
    threads: int,
    bar: Progress,
) -> dict[tuple[str, int], Memory | None]:
    """Memory of each subject at each batch size, each in processes of its own."""
    cells = [(name, size) for size in batch_sizes for name in subjects]
    used = {
        (name, size): measure_memory(
            name, subjects[name], lr[:size], device=device, threads=threads
        )
        for name, size in bar.track(cells, description="memory")
    }
    check_parts(subjects, used)
    return used


def _check(
    subjects: Mapping[str, Subject],
    left_out: Mapping[str, str],
    batch_sizes: Sequence[int],
    threads: Sequence[int],
    warmup: int,
    repeats: int,
) -> None:
    if not subjects:
        reasons = f": {_listed(left_out)}" if left_out else ""
        raise ConfigError(f"expected at least one model to profile, got none{reasons}")
    check_all_whole(1, batch_sizes=batch_sizes, threads=threads)
    check_whole(1, repeats=repeats)
    check_whole(0, warmup=warmup)


def _reference(
    subjects: Mapping[str, Subject], left_out: Mapping[str, str], given: str | None
) -> str:
    reference = given or next(iter(subjects))
    if reference in left_out:
        raise ConfigError(
            f"expected a reference that can run, got {reference}: {left_out[reference]}"
        )
    check_choice(subjects, reference=reference)
    return reference


def _listed(reasons: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in reasons.items())
