"""Prepare many photos, in this process or in several."""

import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import cv2
import torch

from faceskd.common.errors import FaceskdError
from faceskd.common.processes import usable_cpus
from faceskd.data.manifest import Record
from faceskd.data.picture import CropSettings, PhotoFile, prepare_image

PHOTOS_PER_PROCESS = 16
"""With fewer photos, starting a process takes longer than it saves: it must import PyTorch."""


def prepare_photos(
    photos: Sequence[PhotoFile], settings: CropSettings, dst: Path, processes: int | None
) -> Iterator[tuple[PhotoFile, list[Record]]]:
    """Prepare photos; yield each with its records as soon as it is finished.

    Args:
        photos: photos to prepare.
        settings: how faces are cropped.
        dst: folder for the crops.
        processes: number of processes; None: one per CPU, fewer if there are few photos.

    Raises:
        DiskFullError: the disk is full.
        FaceskdError: a process was killed.
    """
    workers = processes or max(min(usable_cpus(), len(photos) // PHOTOS_PER_PROCESS), 1)
    if workers == 1:
        return ((photo, prepare_image(photo, settings, dst)) for photo in photos)
    return _in_processes(photos, settings, dst, workers)


def _in_processes(
    photos: Sequence[PhotoFile], settings: CropSettings, dst: Path, workers: int
) -> Iterator[tuple[PhotoFile, list[Record]]]:
    pool = ProcessPoolExecutor(
        workers, get_context("spawn"), initializer=_start_worker, initargs=(settings, dst)
    )
    try:
        futures = {pool.submit(_work, photo): photo for photo in photos}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise FaceskdError(
            "a process of prepare died, probably because the memory was full; finished files are "
            "kept: run the command again with a smaller number of processes (a script that calls "
            "prepare must do so under if __name__ == '__main__', or with processes=1)"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker: tuple[CropSettings, Path]


def _start_worker(settings: CropSettings, dst: Path) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the first process stops them
    torch.set_num_threads(1)  # the processes share the CPUs
    cv2.setNumThreads(1)
    _worker = settings, dst


def _work(photo: PhotoFile) -> list[Record]:
    return prepare_image(photo, *_worker)
