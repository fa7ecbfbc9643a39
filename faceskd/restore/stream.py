"""Restore many files in a stream; the simplest task is `AlignedFaces`.

While a batch is computed, threads read the next images and write the last ones. Only a limited
number of images is in memory at once. An exception caused by one file becomes the row of this file
in `results.csv`; the other files are still restored.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier
from typing import Any, Protocol

import numpy as np

from faceskd.common.errors import ConfigError, DiskFullError, FaceskdError, reason
from faceskd.common.files import make_folder
from faceskd.common.images import over_white
from faceskd.data.picture import FAILED, UNREADABLE, UNWRITABLE
from faceskd.faces.lr_faces import LR_SIZE, to_lr
from faceskd.restore.photo_files import Photo, read_photo, write_photo
from faceskd.restore.results import InputFile, Result, ResultsFile, joined


@dataclass(frozen=True)
class Read:
    """An input that was read.

    Attributes:
        input_file: the file.
        inputs: faces for the network, RGB uint8, see `Restorer.restore_faces`.
        state: what the task needs for writing.
    """

    input_file: InputFile
    inputs: Sequence[np.ndarray]
    state: Any = None


class Batches(Protocol):
    """What restores inputs, some at a time: a `Restorer`, or a network for whole pictures.

    Attributes:
        batch_size: number of inputs that are restored together.
    """

    batch_size: int

    def restore_faces(self, faces: Sequence[np.ndarray], /) -> Iterable[np.ndarray]:
        """Restore inputs: faces, or whole pictures, RGB uint8."""


class Task(Protocol):
    """How inputs are read and results are written. Several threads call it.

    Attributes:
        folders: folders of the results, inside the output folder.
        suffixes: suffixes of the files in these folders.
        ahead: number of inputs that may wait in memory.
    """

    folders: tuple[str, ...]
    suffixes: tuple[str, ...]
    ahead: int

    def read(self, input_file: InputFile) -> Read:
        """Read an image. A FaceskdError gives the status "unreadable"."""

    def write(self, read: Read, restored: Sequence[np.ndarray], out: Path) -> list[Result]:
        """Write the results. A FaceskdError or OSError gives the status "unwritable"."""

    def restore_video(self, restorer: Any, input_file: InputFile, out: Path) -> list[Result]:
        """Restore a video. A FaceskdError gives the status "unreadable", a full disk or an OSError
        "unwritable".
        """


class AlignedFaces:
    """Task for aligned faces of any size. Each file gives a PNG file of the same name.

    Args:
        side: side of the network's input, px: 32, or that of its frame.
    """

    folders: tuple[str, ...] = ("",)
    suffixes: tuple[str, ...] = (".png",)
    ahead = 64

    def __init__(self, side: int = LR_SIZE) -> None:
        self._side = side

    def read(self, input_file: InputFile) -> Read:
        """The largest central square of an image, resized."""
        photo = read_photo(input_file.path, input_file.page)
        return Read(input_file, [to_lr(over_white(photo.image, photo.alpha), self._side)], photo)

    def write(self, read: Read, restored: Sequence[np.ndarray], out: Path) -> list[Result]:
        """Write the face, with the colour profile of the input."""
        photo: Photo = read.state
        carried = {key: value for key, value in photo.metadata.items() if key == "icc_profile"}
        output = f"{read.input_file.name}.png"
        face = replace(photo, alpha=None, metadata=carried)
        left_out = write_photo(out / output, restored[0], face)
        message = joined(photo.notes, left_out)
        return [Result(read.input_file.source, message=message, output=output)]

    def restore_video(self, restorer: Any, input_file: InputFile, out: Path) -> list[Result]:
        """Refuse it: a video is not an aligned face."""
        raise FaceskdError(
            "expected an image of an aligned face, got a video; restore it without --aligned"
        )


def restore_inputs(
    restorer: Batches,
    inputs: Sequence[InputFile],
    out: Path | str,
    task: Task,
    *,
    workers: int = 2,
    on_results: Callable[[list[Result]], None] = lambda results: None,
) -> list[Result]:
    """Restore files and write `results.csv` into the output folder, even if the run is stopped.

    Args:
        restorer: restores the faces or pictures.
        inputs: from `plan_inputs`.
        out: the output folder.
        task: how files are read and written.
        workers: number of threads that read, and of threads that write.
        on_results: called with the results of each input.

    Returns:
        The results, sorted by source.

    Raises:
        FaceskdError: the output folder cannot be written to.
    """
    out = make_folder(out)
    if workers < 1:
        raise ConfigError(f"expected at least 1 worker, got {workers}")
    with ResultsFile(out, inputs) as table:

        def done(results: Sequence[Result]) -> None:
            on_results(table.add(results))

        for given in inputs:
            if given.status:
                done([Result(given.source, given.status, given.message)])
        images = [given for given in inputs if given.kind == "image"]
        _restore_images(restorer, images, out, task, workers, done)
        for given in inputs:
            if given.kind == "video":
                done(_restore_video(restorer, given, out, task))
    return table.results


def _restore_images(
    restorer: Batches,
    inputs: Sequence[InputFile],
    out: Path,
    task: Task,
    workers: int,
    done: Callable[[Sequence[Result]], None],
) -> None:
    writes: deque[Future[None]] = deque()
    written: deque[list[Result]] = deque()  # not in the futures, so that Ctrl-C loses none

    def write(read: Read, faces: Sequence[np.ndarray]) -> None:
        written.append(_write(task, read, faces, out))

    def report() -> None:
        while written:
            done(written.popleft())

    with _threads(workers) as readers:
        try:
            with _threads(workers) as writers:
                decoded = _read_ahead(readers, task, inputs, done)
                for group in _groups(decoded, restorer.batch_size, task.ahead):
                    for read, faces in _restore(restorer, group, done):
                        writes.append(writers.submit(write, read, faces))
                    while len(writes) > task.ahead:
                        writes.popleft().result()
                    report()
        finally:  # if the run is stopped, files that were written are reported, too
            report()


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """A thread pool. Leaving the block waits for all work; after an error only for begun work."""
    pool = ThreadPoolExecutor(count)
    # All threads start here. Ctrl-C while one starts later would leave it out of those waited for.
    started = Barrier(count)
    try:
        for each in [pool.submit(started.wait) for _ in range(count)]:
            each.result()
        yield pool
    except BaseException:
        started.abort()
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()


def _read_ahead(
    pool: ThreadPoolExecutor,
    task: Task,
    inputs: Sequence[InputFile],
    done: Callable[[Sequence[Result]], None],
) -> Iterator[Read]:
    """All readable inputs, in order; up to `task.ahead` are read in advance."""
    waiting = iter(inputs)
    reading: deque[tuple[InputFile, Future[Read]]] = deque()
    while True:
        while len(reading) < task.ahead and (input_file := next(waiting, None)) is not None:
            reading.append((input_file, pool.submit(task.read, input_file)))
        if not reading:
            return
        input_file, future = reading.popleft()
        try:
            read = future.result()
        except Exception as error:
            done([_failure(input_file, error, UNREADABLE)])
        else:
            yield read


def _failure(input_file: InputFile, error: Exception, status: str) -> Result:
    """The row of an input that raised an error: `status` if it was expected, else "failed"."""
    expected = isinstance(error, FaceskdError | OSError)
    message = reason(error).removeprefix(f"{input_file.path.name}: ")
    return Result(input_file.source, status if expected else FAILED, message)


def _groups(inputs: Iterator[Read], faces: int, ahead: int) -> Iterator[list[Read]]:
    """Groups of inputs with at least `faces` faces in all, or of `ahead` inputs."""
    group: list[Read] = []
    for read in inputs:
        group.append(read)
        if sum(len(read.inputs) for read in group) >= faces or len(group) == ahead:
            yield group
            group = []
    if group:
        yield group


def _restore(
    restorer: Batches, group: list[Read], done: Callable[[Sequence[Result]], None]
) -> Iterator[tuple[Read, list[np.ndarray]]]:
    """Inputs of a group with their restored faces. If the group fails, each is tried alone."""
    restored: Iterator[np.ndarray] | None = None
    try:
        restored = iter(restorer.restore_faces([face for read in group for face in read.inputs]))
    except Exception as error:
        if len(group) == 1:
            done([_failure(group[0].input_file, error, FAILED)])
            return
    for read in group:
        if restored is None:  # here the error is over, and the memory of the group is free
            yield from _restore(restorer, [read], done)
        else:
            yield read, [next(restored) for _ in read.inputs]


def _write(task: Task, read: Read, restored: Sequence[np.ndarray], out: Path) -> list[Result]:
    try:
        return task.write(read, restored, out)
    except Exception as error:
        return [_failure(read.input_file, error, UNWRITABLE)]


def _restore_video(restorer: Batches, input_file: InputFile, out: Path, task: Task) -> list[Result]:
    try:
        return task.restore_video(restorer, input_file, out)
    except (DiskFullError, OSError) as error:
        return [_failure(input_file, error, UNWRITABLE)]
    except Exception as error:
        return [_failure(input_file, error, UNREADABLE)]
