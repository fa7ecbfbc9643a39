"""Albums and photos of a user: add, find, move, delete."""

import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, BinaryIO, TypeVar

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from faceskd.studio.database import Database
from faceskd.studio.errors import Refusal, not_found
from faceskd.studio.formats import ACCEPTED, HEAD, clean_name, sniff
from faceskd.studio.kinds import kind_named
from faceskd.studio.queue import forget_photo, result_files
from faceskd.studio.settings import Settings
from faceskd.studio.storage import Storage, disk_full
from faceskd.studio.tables import (
    IMPORT,
    OPEN,
    Album,
    Job,
    Photo,
    Result,
    User,
    new_id,
    utcnow,
)

Owned = TypeVar("Owned", Album, Photo, Job)

LEAST_FREE = 100_000_000
"""Bytes of the disk that uploads leave free, for the database and for results."""


def owned(session: Session, table: type[Owned], key: str, user: User) -> Owned:
    """A user's album, photo or job.

    Raises:
        Refusal: there is none, or it is somebody else's.
    """
    found = session.get(table, key)
    if found is None or found.user_id != user.id:
        raise not_found()
    return found


def page(
    session: Session, table: type[Owned], user: User, cursor: str | None, limit: int, *where: Any
) -> tuple[list[Owned], str | None]:
    """A part of a list, newest first, and the cursor of the next part.

    Raises:
        Refusal: the cursor is none.
    """
    query = select(table).where(table.user_id == user.id, *where)
    if cursor:
        time, _, key = cursor.partition("_")
        try:
            last = datetime.fromtimestamp(int(time, 16) / 1e6).astimezone()
        except (ValueError, OverflowError, OSError):
            raise Refusal(422, "invalid", "The cursor is none that this server gave.") from None
        older = and_(table.created == last, table.id < key)
        query = query.where(or_(table.created < last, older))
    query = query.order_by(table.created.desc(), table.id.desc()).limit(limit + 1)
    rows = list(session.scalars(query).unique())
    if len(rows) <= limit:
        return rows, None
    last_row = rows[limit - 1]
    return rows[:limit], f"{round(last_row.created.timestamp() * 1e6):x}_{last_row.id}"


def used_bytes(session: Session, user: User) -> int:
    """Bytes of a user's photos and results."""
    photos = select(func.coalesce(func.sum(Photo.bytes), 0)).where(Photo.user_id == user.id)
    results = (
        select(func.coalesce(func.sum(Result.bytes), 0))
        .join(Job, Job.id == Result.job_id)
        .where(Job.user_id == user.id)
    )
    return int(session.scalar(photos) or 0) + int(session.scalar(results) or 0)


def waiting_jobs(session: Session, user: User) -> int:
    """A user's jobs that wait or run, without imports."""
    query = select(func.count(Job.id)).where(
        Job.user_id == user.id, Job.state.in_(OPEN), Job.kind != IMPORT
    )
    return session.scalar(query) or 0


def check_name(name: str) -> str:
    """A name of an album.

    Raises:
        Refusal: it is empty, too long, or has characters that cannot be shown.
    """
    name = " ".join(name.split())
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise Refusal(422, "invalid", "A name has 1 to {longest} characters.", longest=200)
    return name


def add_photo(
    database: Database,
    storage: Storage,
    settings: Settings,
    user: User,
    file: BinaryIO,
    name: str | None,
    album_id: str | None = None,
    *,
    direct: bool = False,
) -> Photo:
    """Keep an upload, and queue its import.

    Args:
        database, storage, settings: of the studio.
        user: whose photo it is.
        file: its bytes.
        name: as the browser gives it; only its last part is kept.
        album_id: of the user's.
        direct: see `faceskd.studio.tables.Photo`; it is not imported.

    Raises:
        Refusal: it is no photo, too large, there is no such album, or no room.
    """
    head = file.read(HEAD)
    file.seek(0)
    if (format_ := sniff(head)) is None:
        formats = ", ".join(ACCEPTED)
        text = "The file is not a photo that can be read. Accepted are {formats}."
        raise Refusal(415, "not_an_image", text, formats=formats)
    if shutil.disk_usage(storage.folder).free < LEAST_FREE:
        raise disk_full()
    incoming = storage.receive(file, settings.max_bytes)
    try:
        with database.write() as session:
            if album_id is not None:
                owned(session, Album, album_id, user)
            if used_bytes(session, user) + incoming.bytes > settings.bytes_per_user:
                raise Refusal(
                    413,
                    "quota",
                    "Your storage of {limit} MB is full. Delete photos that you no longer need.",
                    limit=f"{settings.bytes_per_user / 1e6:g}",
                )
            photo = Photo(
                id=new_id(),
                user_id=user.id,
                album_id=album_id,
                name=clean_name(name),
                file=storage.keep(session, incoming),
                bytes=incoming.bytes,
                format=format_,
                direct=direct,
            )
            session.add(photo)
            session.flush()
            if not direct:
                session.add(_job(photo, IMPORT, {}, None, priority=10))
            return photo
    finally:
        incoming.path.unlink(missing_ok=True)


def add_jobs(
    database: Database,
    settings: Settings,
    user: User,
    photos: Sequence[str],
    kind: str,
    options: dict[str, Any],
    crop: dict[str, int] | None = None,
    *,
    priority: int = 0,
) -> list[Job]:
    """Queue a job for each photo.

    Raises:
        Refusal: no such photo, kind or option; a crop outside the photo; too many jobs.
    """
    found = kind_named(kind)
    if found is None:
        raise Refusal(422, "invalid", "There is no kind of restoration with this name.")
    checked = found.check(options)
    with database.write() as session:
        if waiting_jobs(session, user) + len(photos) > settings.jobs_per_user:
            raise Refusal(
                429,
                "queue_full",
                "At most {limit} of your jobs can wait at the same time. Try again when some are "
                "done.",
                limit=settings.jobs_per_user,
                headers={"Retry-After": "60"},
            )
        jobs = []
        for key in photos:
            photo = owned(session, Photo, key, user)
            if crop and photo.width and not _inside(crop, photo):
                raise Refusal(422, "invalid", "The square is not inside the photo.")
            jobs.append(_job(photo, kind, dict(checked), crop, priority))
        session.add_all(jobs)
        session.flush()
        return jobs


def delete_photos(database: Database, storage: Storage, user: User, photos: Iterable[str]) -> None:
    """Delete photos with their results.

    Raises:
        Refusal: one of them is not there; then none is deleted.
    """
    files: list[str] = []
    with database.write() as session:
        for key in dict.fromkeys(photos):
            photo = owned(session, Photo, key, user)
            files += forget_photo(session, photo)
            session.delete(photo)
    storage.discard(files)


def delete_old(database: Database, storage: Storage, days: float, *, direct: bool = False) -> int:
    """Delete all photos, with their results, that were uploaded more than `days` ago.

    Args:
        database, storage: of the studio.
        days: of 24 hours.
        direct: only those of `POST /api/v1/restore`, whose server died before the answer.

    Returns:
        How many.
    """
    before = utcnow() - timedelta(days=days)
    where = [Photo.direct.is_(True)] if direct else []
    with database.read() as session:
        query = select(Photo.id, User).join(User, User.id == Photo.user_id)
        old = session.execute(query.where(*where, Photo.created < before)).tuples().all()
    for photo, user in old:
        delete_photos(database, storage, user, [photo])
    return len(old)


def delete_job(database: Database, storage: Storage, user: User, key: str) -> None:
    """Delete a job with its result; a worker that is at it drops it.

    Raises:
        Refusal: there is no such job.
    """
    with database.write() as session:
        job = owned(session, Job, key, user)
        files = result_files(job.result)
        session.delete(job)
    storage.discard(files)


def delete_album(
    database: Database, storage: Storage, user: User, key: str, *, photos: bool
) -> None:
    """Delete an album, and its photos or only their place in it.

    Raises:
        Refusal: there is no such album.
    """
    with database.read() as session:
        owned(session, Album, key, user)
        inside = list(session.scalars(select(Photo.id).where(Photo.album_id == key)))
    if photos:
        delete_photos(database, storage, user, inside)
    with database.write() as session:
        session.execute(update(Photo).where(Photo.album_id == key).values(album_id=None))
        session.delete(owned(session, Album, key, user))


def delete_user(database: Database, storage: Storage, user: User) -> None:
    """Delete a user with all data."""
    with database.write() as session:
        photos = session.scalars(select(Photo).where(Photo.user_id == user.id)).all()
        results = select(Result).join(Job).where(Job.user_id == user.id)
        files = [name for photo in photos for name in (photo.file, photo.thumbnail, photo.preview)]
        files += [name for result in session.scalars(results) for name in result_files(result)]
        for table in (Job, Photo, Album):
            session.execute(delete(table).where(table.user_id == user.id))
        session.execute(delete(User).where(User.id == user.id))
    storage.discard(files)


def _job(
    photo: Photo, kind: str, options: dict[str, Any], crop: dict[str, int] | None, priority: int
) -> Job:
    return Job(
        user_id=photo.user_id,
        photo_id=photo.id,
        photo_name=photo.name,
        kind=kind,
        options=options,
        crop=crop,
        priority=priority,
    )


def _inside(crop: dict[str, int], photo: Photo) -> bool:
    return crop["x"] + crop["side"] <= photo.width and crop["y"] + crop["side"] <= photo.height
