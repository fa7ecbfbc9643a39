"""A worker: claims jobs, decodes photos, restores faces of several photos at once, writes results.

It runs until SIGTERM or SIGINT, and finishes what it has begun.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import torch
from sqlalchemy.orm import Session

from faceskd.common.errors import FaceskdError, disk_full_as_error
from faceskd.common.machine import machine_summary
from faceskd.pretrained import DEFAULT_STUDENT, SMALL_STUDENT, model_path
from faceskd.restore.restorer import Restorer
from faceskd.studio import pictures, removal
from faceskd.studio.database import Database, is_away, is_deadlock
from faceskd.studio.kinds import available_kinds
from faceskd.studio.kinds.base import Kind, Outcome, Tools
from faceskd.studio.leases import renewing
from faceskd.studio.library import used_bytes
from faceskd.studio.problems import Problem
from faceskd.studio.queue import Queue
from faceskd.studio.settings import Settings
from faceskd.studio.storage import Storage
from faceskd.studio.tables import BROKEN, IMPORT, READY, Job, Photo, Result, new_id
from faceskd.studio.work import RanOn, ResultFiles, Work, in_parts, received

logger = logging.getLogger(__name__)

IDLE_SECONDS = 0.5
TIDY_SECONDS = 3600
AWAY_SECONDS = 2


class Worker:
    """A worker; see the module.

    Args:
        settings: those of the studio.
        database, storage: shared with the server.
    """

    def __init__(self, settings: Settings, database: Database, storage: Storage) -> None:
        self.settings, self.database, self.storage = settings, database, storage
        self.name = f"{socket.gethostname()[:60]}-{os.getpid()}-{new_id()[:8]}"
        self.queue = Queue(database, settings.lease_seconds, settings.attempts)
        self.stopping = threading.Event()
        self._unfinished: list[str] = []
        self._tidy_at = 0.0
        self.tools = Tools(
            restorer=lambda: self.restorer,
            face_restorer=lambda: self.face_restorer,
            max_pixels=settings.max_result_pixels,
            device=self.device,
        )

    @cached_property
    def device(self) -> str:
        """Where networks run: a GPU if there is one."""
        if self.settings.device != "auto":
            return self.settings.device
        return "cuda" if torch.cuda.is_available() else "cpu"

    @cached_property
    def ran_on(self) -> RanOn:
        """The GPU, or the processor and how many of its threads are used; for the cost."""
        if torch.device(self.device).type == "cuda":
            return torch.cuda.get_device_name(self.device), None
        summary = machine_summary()
        return str(summary["cpu"])[:200], int(summary["threads"])

    @cached_property
    def batch(self) -> int:
        """Jobs claimed at once."""
        return self.settings.batch or (4 if self.device == "cpu" else 16)

    @cached_property
    def restorer(self) -> Restorer:
        """The network for photos, loaded when it is first needed.

        Raises:
            WeightsError: there are no weights, or they are damaged.
        """
        model = self.settings.model or DEFAULT_STUDENT
        weights = Path(model) if Path(model).suffix else model_path(model, role="student")
        return Restorer(weights, device=self.device)

    @cached_property
    def face_restorer(self) -> Restorer:
        """The network for faces of 32 px: that for photos if it takes them, else the package's."""
        if self.restorer.frame is None:
            return self.restorer
        return Restorer.from_pretrained(SMALL_STUDENT, device=self.device)

    def run(self) -> None:
        """Work until `stopping` is set.

        Raises:
            FaceskdError: the storage folder is not that of the database.
        """
        logger.info("worker started", extra={"worker": self.name, "device": self.device})
        while not self.stopping.is_set():
            try:
                if self._unfinished:  # the database failed meanwhile
                    self.queue.release(self.name, self._unfinished)
                    self._unfinished = []
                self._tidy()
                if not self.step():
                    self.stopping.wait(IDLE_SECONDS)
            except Exception as error:
                if not _is_passing(error):
                    raise
                event = "database away" if is_away(error) else "deadlock"
                logger.warning(event, extra={"worker": self.name})
                self.stopping.wait(AWAY_SECONDS)
        logger.info("worker stopped", extra={"worker": self.name})

    def step(self) -> int:
        """Claim a batch and do it.

        Returns:
            How many jobs it had.
        """
        jobs = self.queue.claim(self.name, self.batch)
        if jobs:
            self._unfinished = [job.id for job in jobs]
            with renewing(self.queue, self.name, self._unfinished, self.settings.job_seconds):
                self._do(jobs)
            self._unfinished = []
        return len(jobs)

    def _tidy(self) -> None:
        """Once an hour: delete what is too old, and files that nothing names.

        Raises:
            FaceskdError: the storage folder is not that of the database.
        """
        if time.monotonic() < self._tidy_at:
            return
        self.storage.check()  # in a wrong folder, all files would seem to be named by nothing
        self._tidy_at = time.monotonic() + TIDY_SECONDS
        try:
            if self.settings.keep_days:
                removal.delete_old(self.database, self.storage, self.settings.keep_days)
            removal.delete_old(self.database, self.storage, 1, direct=True)
            self.storage.delete_orphans()
        except Exception as error:
            if is_away(error):
                raise
            logger.exception("tidying failed", extra={"worker": self.name})  # jobs go on

    def _do(self, jobs: Sequence[Job]) -> None:
        groups: dict[str, list[Job]] = {}
        for job in jobs:
            if job.kind == IMPORT:
                with self._failing([job]):
                    self._import(job)
            else:
                groups.setdefault(f"{job.kind} {sorted(job.options.items())}", []).append(job)
        for group in groups.values():
            for part in in_parts(group):
                works = [work for job in part if (work := self._read(job))]
                if works:
                    self._restore(works)

    def _import(self, job: Job) -> None:
        photo = job.photo
        if photo is None:
            return
        try:
            image = pictures.read(self.storage.path(photo.file), self.settings.max_pixels).image
        except Problem as error:
            if error.passing:
                raise
            problem = error.stored

            def mark(session: Session, job: Job) -> None:
                if job.photo:
                    job.photo.state, job.photo.error = BROKEN, problem

            self.queue.finish(self.name, job.id, mark)
            return
        height, width = image.shape[:2]
        shown = {"thumbnail": pictures.thumbnail(image), "preview": pictures.preview(image)}
        with received(self.storage, shown) as files:

            def keep(session: Session, job: Job) -> None:
                if photo := job.photo:
                    photo.thumbnail = self.storage.keep(session, files["thumbnail"])
                    photo.preview = self.storage.keep(session, files["preview"])
                    photo.width, photo.height = width, height
                    photo.state, photo.error = READY, None

            self.queue.finish(self.name, job.id, keep)

    def _read(self, job: Job) -> Work | None:
        """A job's photo, decoded; None where it failed."""
        with self._failing([job]):
            photo: Photo | None = job.photo
            if photo is None:
                raise Problem("photo_deleted")
            limit = self.settings.direct_pixels if photo.direct else self.settings.max_pixels
            whole = pictures.read(self.storage.path(photo.file), limit)
            crop = pictures.Crop(**job.crop) if job.crop else None
            return Work(job, photo, pictures.cut(whole, crop))
        return None

    def _restore(self, works: Sequence[Work]) -> None:
        jobs = [work.job for work in works]
        kind = available_kinds(self.settings).get(jobs[0].kind)
        began = time.perf_counter()
        with self._failing(jobs):
            if kind is None:
                raise Problem("unknown_kind", kind=jobs[0].kind)
            self.queue.report(self.name, [job.id for job in jobs], "restoring", 0.3)
            outcomes: list[Outcome] | None = None
            try:
                images = [work.picture.image for work in works]
                outcomes = kind.restore(self.tools, images, jobs[0].options)
            except Exception:
                if len(works) == 1:
                    raise
            if outcomes is None:  # one of them spoils the batch, whose memory is free by now
                for work in works:
                    self._restore([work])
                return
            seconds = (time.perf_counter() - began) / len(works)
            self.queue.report(self.name, [job.id for job in jobs], "writing", 0.8)
            for work, outcome in zip(works, outcomes, strict=True):
                with self._failing([work.job]):
                    self._finish(work, kind, outcome, seconds)

    def _finish(self, work: Work, kind: Kind, outcome: Outcome, seconds: float) -> None:
        began = time.perf_counter()
        made = ResultFiles(self.storage, work, kind, outcome, self.ran_on)
        with received(self.storage, made.files) as files:
            total = seconds + time.perf_counter() - began

            def make(session: Session, job: Job) -> Result:
                limit = self.settings.bytes_per_user
                if used_bytes(session, job.user_id) + files["file"].bytes > limit:
                    raise Problem("quota", limit=f"{limit / 1e6:g}")
                return made.result(session, files, total)

            self.queue.finish(self.name, work.job.id, make)

    @contextmanager
    def _failing(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Jobs fail by what the block raises; what the database will do later is raised on."""
        try:
            with disk_full_as_error():
                yield
        except Exception as error:
            if _is_passing(error):
                raise
            problem = Problem.of(error)
            known = isinstance(error, FaceskdError) and not problem.passing
            logger.log(
                logging.INFO if known else logging.ERROR,
                "job failed",
                extra={"worker": self.name, "jobs": [job.id for job in jobs]},
                exc_info=not known,
            )
            for job in jobs:
                self.queue.fail(self.name, job.id, problem, again=problem.passing)


def _is_passing(error: Exception) -> bool:
    """Whether the database will do the same later: it is away, or ended a deadlock."""
    return is_away(error) or is_deadlock(error)


def run_worker(settings: Settings, parent: int = 0) -> None:
    """A worker in this process, until SIGTERM or SIGINT.

    Args:
        settings: of the studio.
        parent: id of the process that started it; the worker stops when that is gone.
    """
    database = Database(settings.database_url)
    worker = Worker(settings, database, Storage(settings.storage, database))
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: worker.stopping.set())
    if parent:
        threading.Thread(target=_stop_without, args=(parent, worker), daemon=True).start()
    worker.run()


def _stop_without(parent: int, worker: Worker) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    worker.stopping.set()
