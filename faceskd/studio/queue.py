"""The job queue in the database: claim, renew, report, finish, take over.

A job belongs to a worker for as long as its lease lasts. A worker that dies stops renewing it, and
another one takes the job over. Every change by a worker is made under the condition that the job
is still its own, and the key of a result is its job's, so that there is one result at most,
however often a job is tried.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session, joinedload

from faceskd.studio.database import Database
from faceskd.studio.problems import Problem
from faceskd.studio.tables import (
    BROKEN,
    CANCELLED,
    DONE,
    FAILED,
    IMPORT,
    NEW,
    OPEN,
    QUEUED,
    RUNNING,
    Job,
    Photo,
    Result,
    Total,
    utcnow,
)

RETRY_SECONDS = 5
"""Until a job that failed by accident is tried again; five times longer each time."""


class Queue:
    """The queue, as workers see it.

    Args:
        database: where the jobs are.
        lease_seconds: how long a worker may be silent.
        attempts: how often a job is tried.
    """

    def __init__(self, database: Database, lease_seconds: float, attempts: int) -> None:
        self.database = database
        self.lease = timedelta(seconds=lease_seconds)
        self.attempts = attempts

    def claim(self, worker: str, count: int) -> list[Job]:
        """Take jobs that wait, or whose worker is dead; each with its photo.

        A job that was tried before comes alone: it may be what its worker died of, and would take
        the others of its batch with it.

        Returns:
            `count` jobs at most; by priority, oldest first.
        """
        with self.database.write() as session:
            now = self.database.now(session)
            expired = and_(Job.state == RUNNING, Job.lease < now)
            self._give_up(session, expired, now)
            waiting = and_(Job.state == QUEUED, Job.due <= now)
            # Which job a locked row skips to does not matter, so each worker gets others.
            query = (
                select(Job)
                .where(or_(waiting, and_(expired, Job.attempts < self.attempts)))
                .order_by(Job.priority.desc(), Job.created, Job.id)
                .limit(count)
                .with_for_update(skip_locked=True, of=Job)
                .options(joinedload(Job.photo))
            )
            found = list(session.scalars(query))
            jobs = list(takewhile(lambda job: not job.attempts, found)) or found[:1]
            for job in jobs:
                job.state, job.worker, job.lease = RUNNING, worker, now + self.lease
                job.attempts += 1
                job.started, job.progress, job.step, job.error = now, 0, "reading", None
            return jobs

    def renew(self, worker: str, jobs: Iterable[str]) -> set[str]:
        """Prolong leases.

        Returns:
            The jobs that are still this worker's; the others were cancelled or taken over.
        """
        names = list(jobs)
        with self.database.write() as session:
            lease = self.database.now(session) + self.lease
            mine = self._mine(worker, names)
            session.execute(update(Job).where(mine).values(lease=lease, changed=Job.changed))
            return set(session.scalars(select(Job.id).where(mine)))

    def report(self, worker: str, jobs: Iterable[str], step: str, progress: float) -> None:
        """Say how far jobs are: a step and a share, 0 to 1."""
        with self.database.write() as session:
            mine = self._mine(worker, list(jobs))
            session.execute(update(Job).where(mine).values(step=step, progress=progress))

    def finish(
        self, worker: str, job_id: str, make: Callable[[Session, Job], Result | None]
    ) -> bool:
        """End a job with its result, in one transaction.

        Args:
            worker: who did it.
            job_id: the job.
            make: writes what belongs to the result, and returns it; None for an import.

        Returns:
            False where the job is no longer this worker's; then nothing was written.
        """
        with self.database.write() as session:
            job = self._own(session, worker, job_id)
            if job is None:
                return False
            result = make(session, job)
            now = self.database.now(session)
            if result is not None:
                job.result = result
                self._count_result(session, job, result, now)
            self._end(session, job, DONE, now)
            return True

    def fail(self, worker: str, job_id: str, problem: Problem, *, again: bool) -> None:
        """End a job without a result.

        Args:
            worker: who tried it.
            job_id: the job.
            problem: why.
            again: it may succeed next time (disk full, out of memory): it is tried again unless
                there were too many attempts.
        """
        with self.database.write() as session:
            job = self._own(session, worker, job_id)
            if job is None:
                return
            now = self.database.now(session)
            job.error = problem.stored
            if again and job.attempts < self.attempts:
                job.state, job.worker, job.lease = QUEUED, None, None
                job.step, job.progress = "waiting", 0
                job.due = now + timedelta(seconds=RETRY_SECONDS * 5 ** (job.attempts - 1))
            else:
                self._end(session, job, FAILED, now)

    def release(self, worker: str, jobs: Iterable[str]) -> None:
        """Give jobs back that the database's absence left undone; no attempt is counted."""
        with self.database.write() as session:
            session.execute(
                update(Job)
                .where(self._mine(worker, list(jobs)))
                .values(
                    state=QUEUED, worker=None, lease=None, step="waiting", attempts=Job.attempts - 1
                )
            )

    def _mine(self, worker: str, jobs: Sequence[str]) -> ColumnElement[bool]:
        return and_(Job.id.in_(jobs), Job.state == RUNNING, Job.worker == worker)

    def _own(self, session: Session, worker: str, job_id: str) -> Job | None:
        query = select(Job).where(self._mine(worker, [job_id])).with_for_update(of=Job)
        return session.scalars(query).one_or_none()

    def _give_up(self, session: Session, expired: ColumnElement[bool], now: datetime) -> None:
        query = (
            select(Job)
            .where(expired, Job.attempts >= self.attempts)
            .with_for_update(skip_locked=True, of=Job)
        )
        for job in session.scalars(query):
            job.error = Problem("workers_died", attempts=str(job.attempts)).stored
            self._end(session, job, FAILED, now)

    def _end(self, session: Session, job: Job, state: str, now: datetime) -> None:
        job.state, job.worker, job.lease = state, None, None
        job.step, job.finished = "", now
        if state == DONE:
            job.progress = 1
        elif job.kind == IMPORT and job.photo is not None:
            job.photo.state, job.photo.error = BROKEN, job.error
        self._add(session, "jobs", f"{job.kind}:{state}", 1)

    def _count_result(self, session: Session, job: Job, result: Result, now: datetime) -> None:
        started = job.started or now
        waited = max((started - job.queued).total_seconds(), 0)
        self._add(session, "queue_seconds", job.kind, waited)
        self._add(session, "work_seconds", job.kind, result.seconds)
        self._add(session, "faces", "found", len(result.faces))
        restored = sum(bool(face["restored"]) for face in result.faces)
        self._add(session, "faces", "restored", restored)

    def _add(self, session: Session, name: str, label: str, value: float) -> None:
        self.database.insert_missing(session, Total, {"name": name, "label": label, "value": 0})
        session.execute(
            update(Total)
            .where(Total.name == name, Total.label == label)
            .values(value=Total.value + value)
        )


def cancel(session: Session, job: Job, problem: Problem | None = None) -> bool:
    """Cancel a job that waits or runs, or let it fail by a `problem`.

    A worker that is at it will notice and drop it.

    Returns:
        False where it had ended before.
    """
    job = session.get_one(Job, job.id, with_for_update={"of": Job}, populate_existing=True)
    if job.state not in OPEN:
        return False
    job.state, job.error = (FAILED, problem.stored) if problem else (CANCELLED, None)
    job.worker, job.lease, job.step = None, None, ""
    job.finished = utcnow()
    return True


def retry(session: Session, job: Job, now: datetime) -> bool:
    """Put a job that failed or was cancelled into the queue again.

    Returns:
        False where it has not ended so.
    """
    job = session.get_one(Job, job.id, with_for_update={"of": Job}, populate_existing=True)
    if job.state not in (FAILED, CANCELLED):
        return False
    job.state, job.attempts, job.error = QUEUED, 0, None
    job.step, job.progress, job.finished = "waiting", 0, None
    job.queued = job.due = now
    if job.kind == IMPORT and job.photo is not None:
        job.photo.state, job.photo.error = NEW, None
    return True


def forget_photo(session: Session, photo: Photo) -> list[str]:
    """Take a photo from its jobs before it is deleted.

    Jobs that have a result are deleted with it. Those that wait or run fail, and say why.

    Returns:
        Files that may no longer be named, for `Storage.discard`.
    """
    files = [name for name in (photo.file, photo.thumbnail, photo.preview) if name]
    jobs = session.scalars(select(Job).where(Job.photo_id == photo.id).with_for_update(of=Job))
    for job in jobs:
        if job.state in OPEN and job.kind != IMPORT and not photo.direct:
            cancel(session, job, Problem("photo_deleted"))
            job.photo_id = None
        elif job.kind == IMPORT or job.state == DONE or photo.direct:
            files += result_files(job.result)
            session.delete(job)
    return files


def result_files(result: Result | None) -> list[str]:
    """The files of a result."""
    return [result.file, result.preview, result.before] if result else []
