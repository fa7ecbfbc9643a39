"""Restoring files: a stream that keeps all parts busy, and aligned faces as its simplest task.

Reading and detecting, the network, and writing overlap: threads decode the next images and write
the last ones while a batch is computed. Memory is bounded by a window of images in flight. One
broken file costs its own row of `results.csv`, not the run.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import make_folder
from faceskd.common.images import read_image, write_image
from faceskd.data.manifest import OK
from faceskd.data.picture import UNREADABLE
from faceskd.faces.lr_faces import to_lr
from faceskd.reporting.tables import write_csv
from faceskd.restore.plan import InputFile
from faceskd.restore.restorer import Restorer

RESULTS = "results.csv"
UNWRITABLE = "unwritable"
FAILURES = (UNREADABLE, UNWRITABLE)


@dataclass(frozen=True)
class Result:
    """What became of one face, or of a file without one.

    Attributes:
        source: the input, relative to the folder of inputs.
        status: "ok"; of whole photos also what `faceskd.restore.photo.PhotoFace.status` says, or
            "no_face"; "unreadable" or "unwritable" for failures.
        message: a sentence for the user; empty when all is well.
        output: the restored face, relative to the folder of results; empty where there is none.
    """

    source: str
    status: str = OK
    message: str = ""
    output: str = ""


@dataclass(frozen=True)
class Read:
    """An input, read: the faces that the network is to restore, and what writing will need.

    Attributes:
        input_file: where it comes from.
        lr: RGB uint8 (32, 32, 3) each.
        state: known to the task alone.
    """

    input_file: InputFile
    lr: Sequence[np.ndarray]
    state: Any = None


class Task(Protocol):
    """What comes before the network and after it; both are called from many threads.

    Attributes:
        folders: where results lie, below the folder of results.
        suffixes: of the files written there.
        ahead: how many inputs may wait in memory.
    """

    folders: tuple[str, ...]
    suffixes: tuple[str, ...]
    ahead: int

    def read(self, input_file: InputFile) -> Read:
        """Read an input; a FaceskdError makes it unreadable."""

    def write(self, read: Read, restored: Sequence[np.ndarray], out: Path) -> list[Result]:
        """Write what came of it; a FaceskdError or OSError makes it unwritable."""


class AlignedFaces:
    """Each file is one aligned face of any size, and gives a PNG of 256x256 of the same name."""

    folders: tuple[str, ...] = ("",)
    suffixes: tuple[str, ...] = (".png",)
    ahead = 64

    def read(self, input_file: InputFile) -> Read:
        """The largest central square of an image, resized."""
        return Read(input_file, [to_lr(read_image(input_file.path))])

    def write(self, read: Read, restored: Sequence[np.ndarray], out: Path) -> list[Result]:
        """Write the face."""
        output = f"{read.input_file.name}.png"
        write_image(out / output, restored[0])
        return [Result(read.input_file.source, output=output)]


def restore_inputs(
    restorer: Restorer,
    inputs: list[InputFile],
    out: Path | str,
    task: Task,
    *,
    workers: int = 2,
    on_results: Callable[[list[Result]], None] = lambda results: None,
) -> list[Result]:
    """Restore files, and write `results.csv` beside the results.

    Args:
        restorer: what restores the faces.
        inputs: from `plan_inputs`.
        out: the folder of results.
        task: how files are read and written.
        workers: threads that read and write.
        on_results: called with all the results of each file.

    Returns:
        The results, sorted by source.

    Raises:
        FaceskdError: the folder of results cannot be written to.
    """
    out = make_folder(out)
    if workers < 1:
        raise ConfigError(f"expected at least 1 worker, got {workers}")
    results: list[Result] = []

    def done(of_one_file: list[Result]) -> None:
        results.extend(of_one_file)
        on_results(of_one_file)

    with ThreadPoolExecutor(workers) as readers, ThreadPoolExecutor(workers) as writers:
        writes: deque[Future[list[Result]]] = deque()
        decoded = _read_ahead(readers, task, inputs, on_failure=done)
        for group in _groups(decoded, restorer.batch_size, task.ahead):
            restored = iter(restorer.restore_lr([face for read in group for face in read.lr]))
            for read in group:
                faces = [next(restored) for _ in read.lr]
                writes.append(writers.submit(_write, task, read, faces, out))
            while len(writes) > task.ahead:
                done(writes.popleft().result())
        for write in writes:
            done(write.result())
    results.sort(key=lambda result: result.source)
    write_csv(out / RESULTS, [asdict(result) for result in results])
    return results


def _read_ahead(
    pool: ThreadPoolExecutor,
    task: Task,
    inputs: list[InputFile],
    *,
    on_failure: Callable[[list[Result]], None],
) -> Iterator[Read]:
    """All inputs that can be read, in order, `task.ahead` of them in advance."""
    waiting = iter(inputs)
    reading: deque[tuple[InputFile, Future[Read]]] = deque()
    while True:
        while len(reading) < task.ahead and (input_file := next(waiting, None)) is not None:
            reading.append((input_file, pool.submit(task.read, input_file)))
        if not reading:
            return
        input_file, future = reading.popleft()
        try:
            yield future.result()
        except FaceskdError as error:
            message = str(error).removeprefix(f"{input_file.path.name}: ")
            on_failure([Result(input_file.source, UNREADABLE, message)])


def _groups(inputs: Iterator[Read], faces: int, ahead: int) -> Iterator[list[Read]]:
    """Inputs that have at least `faces` faces together, or are `ahead`."""
    group: list[Read] = []
    for read in inputs:
        group.append(read)
        if sum(len(read.lr) for read in group) >= faces or len(group) == ahead:
            yield group
            group = []
    if group:
        yield group


def _write(task: Task, read: Read, restored: Sequence[np.ndarray], out: Path) -> list[Result]:
    try:
        return task.write(read, restored, out)
    except (FaceskdError, OSError) as error:
        return [Result(read.input_file.source, UNWRITABLE, str(error))]
