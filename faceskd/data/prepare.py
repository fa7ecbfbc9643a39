"""Photographs to prepared faces: 256x256 crops, landmarks and component boxes, in a manifest.

Every input file gets at least one row, whatever came of it. The work is done by several processes
and can be broken off: what is finished stands in a journal, and the next call goes on from there.
"""

import hashlib
import os
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Literal

import cv2
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import fitting, make_folder
from faceskd.common.listing import ListedFile, list_files
from faceskd.data.journal import Journal
from faceskd.data.manifest import OK, Record, write_manifest
from faceskd.data.picture import (
    DUPLICATE,
    FAILURES,
    STOPPED,
    UNREADABLE,
    UNSUPPORTED,
    CropSettings,
    PhotoFile,
    prepare_image,
)
from faceskd.data.splits import FRACTIONS, IdentityBy, Place, assign, check_fractions
from faceskd.faces.align import Crop, SimilarityCrop
from faceskd.faces.detection import Detector, MTCNNDetector

IMAGES_A_PROCESS = 16
"""Fewer are not worth starting a process, which imports PyTorch, for."""


@dataclass(frozen=True)
class Summary:
    """What came of a folder.

    Attributes:
        records: a row for every face written and every file without one, sorted by source.
        resumed: how many files were finished before this call.
    """

    records: list[Record]
    resumed: int = 0

    @property
    def statuses(self) -> Counter[str]:
        """How many rows have each status."""
        return Counter(record.status for record in self.records)

    @property
    def splits(self) -> Counter[str]:
        """How many faces each split has."""
        return Counter(record.split for record in self.records if record.status == OK)

    @property
    def failed(self) -> bool:
        """Whether an image could not be read or prepared, or no face came out at all."""
        return any(self.statuses[status] for status in FAILURES) or not self.statuses[OK]


def prepare(
    src: Path | str,
    dst: Path | str,
    *,
    detector: Detector | None = None,
    crop: Crop | None = None,
    min_face: int = 256,
    size: int = 256,
    faces: Literal["largest", "all"] = "largest",
    splits: Mapping[str, float] = FRACTIONS,
    split_file: Path | str | None = None,
    identity_by: IdentityBy = "auto",
    processes: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Summary:
    """Find, align and cut out the face of every image below `src`; write `dst` with its manifest.

    Args:
        src: folder of images, searched with its sub-folders.
        dst: folder of prepared faces; finished files of an earlier call are kept.
        detector: finds faces and landmarks; MTCNN by default.
        crop: how a face is cut out; a similarity warp by default.
        min_face: faces whose box is lower than this many pixels of the photo are left out.
        size: side of the crops in pixels.
        faces: "largest": one face an image; "all": every one that is large enough.
        splits, split_file, identity_by: see `faceskd.data.splits.assign`.
        processes: None for one a CPU.
        overwrite: do everything again, also where settings changed.
        progress: show a progress bar.

    Returns:
        Summary of what came of every file.

    Raises:
        FaceskdError: no images, settings that make no sense or differ from those that `dst` was
            made with, weights that are missing, or a folder that cannot be written.
    """
    settings = CropSettings(
        detector or MTCNNDetector(), crop or SimilarityCrop(), min_face, size, faces
    )
    settings.check()
    check_fractions(splits)
    if processes is not None and processes < 1:
        raise ConfigError(f"processes is at least 1, got {processes}")
    src, dst = Path(src), Path(dst)
    photos, others = _photo_files(src, split_file, splits, identity_by)
    make_folder(dst)
    settings.detector.fetch()
    with Journal(dst, settings.settings(), overwrite=overwrite) as journal:
        done = {
            photo.source: found for photo in photos if (found := _finished(photo, journal, dst))
        }
        todo = [photo for photo in photos if photo.source not in done]
        resumed = len(done)
        try:
            for photo, records in _prepare_all(todo, settings, dst, processes, progress):
                journal.append(photo.source, _stamp(photo.path), records)
                done[photo.source] = records
        finally:  # also of a run that was stopped
            records = others + [
                record for photo in photos for record in done.get(photo.source, [_stopped(photo)])
            ]
            write_manifest(dst, records)
    return Summary(sorted(records, key=lambda record: record.source), resumed)


def _photo_files(
    src: Path,
    split_file: Path | str | None,
    splits: Mapping[str, float],
    identity_by: IdentityBy,
) -> tuple[list[PhotoFile], list[Record]]:
    """The images of a folder, and records of all its files that are not read."""
    listed = list_files(src)
    paths = {file.source: file.path for file in listed if file.kind == "image" and not file.problem}
    if not paths:
        raise FaceskdError(f"no image in the folder {str(src)!r}, among {len(listed)} files")
    others = [_unusable(file) for file in listed if file.source not in paths]
    places = assign(list(paths), split_file=split_file, fractions=splits, identity_by=identity_by)
    names = crop_names(places)
    photos = [
        PhotoFile(path, source, names[source], places[source]) for source, path in paths.items()
    ]
    return photos, others


def _unusable(file: ListedFile) -> Record:
    if file.kind == "video":
        return Record(file.source, UNSUPPORTED, "a video; only photos are prepared")
    status = {"image": UNREADABLE, "link": DUPLICATE}.get(file.kind, UNSUPPORTED)
    return Record(file.source, status, file.problem or "no image")


def _stopped(photo: PhotoFile) -> Record:
    message = "the run was stopped before; the next one goes on here"
    return Record(photo.source, STOPPED, message, photo.place.split, photo.place.identity)


def crop_names(places: Mapping[str, Place]) -> dict[str, str]:
    """A file name without suffix for every source, none twice in any split.

    Folders and stem are joined by "-"; names that would be the same (a.jpg and a.png, or a file
    system that ignores case) get some digits of a hash of their source.

    Examples:
        >>> crop_names({"ann/1.jpg": Place("train", "ann")})
        {'ann/1.jpg': 'ann-1'}
    """
    plain = {}
    for source, place in places.items():
        parts = PurePosixPath(source).with_suffix("").parts
        inside = parts[1:] if len(parts) > 1 and parts[0] == place.split else parts
        plain[source] = fitting("-".join(inside))
    uses = Counter(name.casefold() for name in plain.values())
    return {
        source: name if uses[name.casefold()] == 1 else f"{name}-{_digest(source)[:8]}"
        for source, name in plain.items()
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _stamp(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:  # deleted meanwhile: its record says so
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _finished(photo: PhotoFile, journal: Journal, dst: Path) -> list[Record] | None:
    """What an earlier call made of a file, if it still holds; what was unreadable is tried anew."""
    records = journal.find(photo.source, _stamp(photo.path))
    if not records:
        return None
    holds = all(
        (record.split, record.identity) == (photo.place.split, photo.place.identity)
        and record.status not in FAILURES
        and (not record.face or (dst / record.face).is_file())
        for record in records
    )
    return records if holds else None


def _prepare_all(
    photos: Sequence[PhotoFile],
    settings: CropSettings,
    dst: Path,
    processes: int | None,
    progress: bool,
) -> Iterator[tuple[PhotoFile, list[Record]]]:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = processes or max(min(cpus, len(photos) // IMAGES_A_PROCESS), 1)
    columns = (*Progress.get_default_columns()[:1], BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), disable=not progress) as bar:
        results = (
            _inline(photos, settings, dst)
            if workers == 1
            else _spawn(photos, settings, dst, workers)
        )
        yield from bar.track(results, total=len(photos), description="preparing faces")


def _inline(
    photos: Sequence[PhotoFile], settings: CropSettings, dst: Path
) -> Iterator[tuple[PhotoFile, list[Record]]]:
    for photo in photos:
        yield photo, prepare_image(photo, settings, dst)


def _spawn(
    photos: Sequence[PhotoFile], settings: CropSettings, dst: Path, workers: int
) -> Iterator[tuple[PhotoFile, list[Record]]]:
    """Spread over spawned processes; each works with one thread, so that they do not fight."""
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start_worker, initargs=(settings, dst)
    )
    try:
        futures = {pool.submit(_work, photo): photo for photo in photos}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise FaceskdError(
            "a process of prepare died, most often for want of memory; finished files are kept: "
            "run again with fewer processes (a script that calls prepare must do so under "
            "if __name__ == '__main__', or with processes=1)"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker: tuple[CropSettings, Path]


def _start_worker(settings: CropSettings, dst: Path) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process stops them
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker = settings, dst


def _work(photo: PhotoFile) -> list[Record]:
    return prepare_image(photo, *_worker)
