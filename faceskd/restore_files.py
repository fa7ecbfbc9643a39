"""Restoring files: what is read, where results go, and a stream that keeps all parts busy.

Reading and detecting, the network, and writing overlap: threads decode the next images and write
the last ones while a batch is computed. Memory is bounded by a window of images in flight. One
broken file costs its own row of `results.csv`, not the run.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from faceskd.align import Detector, similarity_crop
from faceskd.errors import ConfigError, FaceskdError
from faceskd.files import make_folder
from faceskd.images import list_images, read_image, write_image
from faceskd.lr_faces import LR_SIZE, to_lr
from faceskd.restore import Restorer
from faceskd.tables import write_csv

RESULTS = "results.csv"

LRFace = tuple["Job", Path, np.ndarray]
"""A face to restore: what it came from, where it goes, and its 32x32 pixels."""


@dataclass(frozen=True)
class Job:
    """One input file; `output` is its result, before the number of a face is added."""

    path: Path
    source: str
    output: Path


@dataclass(frozen=True)
class Result:
    """What became of one face, or of a file without one.

    Attributes:
        source: the input, relative to the folder of inputs.
        output: the restored face, relative to the folder of results; empty where there is none.
        status: "ok", "unreadable", "no_face" or "unwritable".
        detail: a sentence for the user; empty when all is well.
    """

    source: str
    output: str
    status: str = "ok"
    detail: str = ""


def plan_jobs(source: Path | str, out: Path | str) -> list[Job]:
    """The inputs and where each result goes: the same sub-folder and stem, as PNG.

    Inputs whose results would have the same name (`a.jpg` and `a.png`, on any file system) all
    keep their suffix in it: `a_jpg.png`, `a_png.png`. Images below `out` are no inputs.

    Raises:
        FaceskdError: there is no image, or a result would replace an input.
    """
    source, out = Path(source), Path(out)
    root = source.parent if source.is_file() else source
    paths = [source] if source.is_file() else list_images(source)
    results = out.resolve()
    if results != root.resolve():
        paths = [path for path in paths if not path.resolve().is_relative_to(results)]
    if not paths:
        raise FaceskdError(f"no image in {str(source)!r} outside the folder of results")
    names = _unclashing([path.relative_to(root) for path in paths])
    jobs = [
        Job(path, path.relative_to(root).as_posix(), out / name)
        for path, name in zip(paths, names, strict=True)
    ]
    inputs = {path.resolve() for path in paths}
    for job in jobs:
        if job.output.resolve() in inputs:
            raise ConfigError(
                f"the result of {job.source!r} would replace an input; give another output folder"
            )
    return jobs


def _unclashing(sources: list[Path]) -> list[Path]:
    plain = [source.with_suffix(".png") for source in sources]
    keys = [str(name).casefold() for name in plain]
    counts = Counter(keys)
    used = {key for key in keys if counts[key] == 1}
    names = []
    for source, name, key in zip(sources, plain, keys, strict=True):
        if counts[key] > 1:
            stem = f"{source.stem}_{source.suffix[1:]}"
            name, number = source.with_name(f"{stem}.png"), 2
            while str(name).casefold() in used:
                name, number = source.with_name(f"{stem}_{number}.png"), number + 1
            used.add(str(name).casefold())
        names.append(name)
    return names


def restore_jobs(
    restorer: Restorer,
    jobs: list[Job],
    out: Path | str,
    *,
    detector: Detector | None = None,
    batch_size: int = 8,
    workers: int = 2,
    on_result: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Restore files, and write `results.csv` beside the results.

    Args:
        restorer: what restores the faces.
        jobs: from `plan_jobs`.
        out: the folder of results.
        detector: finds the faces of photographs, each of which gives `<stem>_00.png`,
            `<stem>_01.png`, ..., largest first; None says that images are aligned faces already.
        batch_size: faces that the network is given at once.
        workers: threads that read and write.
        on_result: called with each result, in the order of the jobs within a kind of status.

    Raises:
        FaceskdError: the folder of results cannot be written to.
    """
    out = make_folder(out)
    if batch_size < 1 or workers < 1:
        raise ConfigError(
            f"expected at least 1 face a batch and 1 worker, got {batch_size=}, {workers=}"
        )
    reader = _Reader(detector)
    results: list[Result] = []

    def done(result: Result) -> None:
        results.append(result)
        on_result(result)

    with ThreadPoolExecutor(workers) as pool:
        writes: deque[Future[Result]] = deque()
        faces = _faces(pool, reader, jobs, window=batch_size + 2 * workers, on_failure=done)
        for batch in _batches(faces, batch_size):
            restored = restorer.restore_lr(np.stack([lr for _, _, lr in batch]))
            for (job, output, _), image in zip(batch, restored, strict=True):
                writes.append(pool.submit(_write, job, output, out, image))
            while len(writes) > 2 * batch_size:
                done(writes.popleft().result())
        for write in writes:
            done(write.result())
    results.sort(key=lambda result: (result.source, result.output))
    write_csv(out / RESULTS, [asdict(result) for result in results])
    return results


class _Reader:
    """From a file to its LR faces, each with the path of its result."""

    def __init__(self, detector: Detector | None) -> None:
        self._detector = detector
        self._one_at_a_time = threading.Lock()  # a detector holds state while it runs
        if detector is not None:
            detector.fetch()

    def __call__(self, job: Job) -> list[tuple[Path, np.ndarray]]:
        image = read_image(job.path)
        if self._detector is None:
            return [(job.output, to_lr(image))]
        with self._one_at_a_time:
            found = self._detector.detect(image)
        return [
            (
                job.output.with_stem(f"{job.output.stem}_{number:02d}"),
                similarity_crop(image, face.landmarks, LR_SIZE)[0],
            )
            for number, face in enumerate(found)
        ]


def _faces(
    pool: ThreadPoolExecutor,
    reader: _Reader,
    jobs: list[Job],
    *,
    window: int,
    on_failure: Callable[[Result], None],
) -> Iterator[LRFace]:
    """The LR faces of all jobs in order, read ahead by `window` files."""
    waiting = iter(jobs)
    reading: deque[tuple[Job, Future]] = deque()
    while True:
        while len(reading) < window and (job := next(waiting, None)) is not None:
            reading.append((job, pool.submit(reader, job)))
        if not reading:
            return
        job, future = reading.popleft()
        try:
            found = future.result()
        except FaceskdError as error:
            detail = str(error).removeprefix(f"{job.path.name}: ")
            on_failure(Result(job.source, "", "unreadable", detail))
            continue
        if not found:
            on_failure(Result(job.source, "", "no_face", "no face was found"))
        for output, lr in found:
            yield job, output, lr


def _batches(faces: Iterable[LRFace], size: int) -> Iterator[list[LRFace]]:
    batch: list[LRFace] = []
    for face in faces:
        batch.append(face)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(job: Job, output: Path, out: Path, image: np.ndarray) -> Result:
    result = Result(job.source, output.relative_to(out).as_posix())
    try:
        write_image(output, image)
    except (FaceskdError, OSError) as error:
        return replace(result, output="", status="unwritable", detail=str(error))
    return result
