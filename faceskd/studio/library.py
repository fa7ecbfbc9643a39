"""Albums and photos of a user: add, find, move, delete."""

import hashlib
import shutil
from collections.abc import Sequence
from datetime import datetime
from typing import Any, BinaryIO, TypeVar

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from faceskd.studio.database import Database
from faceskd.studio.errors import Refusal, not_found, quota
from faceskd.studio.formats import ACCEPTED, HEAD, clean_name, sniff
from faceskd.studio.kinds import available_kinds
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
)

Owned = TypeVar("Owned", Album, Photo, Job)

LEAST_FREE = 100_000_000
"""Bytes of the disk that uploads leave free, for the database and for results."""


def owned(
    session: Session, table: type[Owned], key: str, user: User, *, lock: bool = False
) -> Owned:
    """A user's album, photo or job.

    Args:
        session: in which it is looked for.
        table: what it is.
        key: its id.
        user: whose it must be.
        lock: nobody else may change it before the end of the transaction.

    Raises:
        Refusal: there is none, or it is somebody else's.
    """
    found = session.get(table, key, with_for_update={"of": table} if lock else None)
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


def lock(session: Session, user: User) -> None:
    """Let nobody else add photos or jobs of a user before the end of the transaction.

    Otherwise many requests at once would all see that there is room for one more.
    """
    row = select(User.id).where(User.id == user.id)
    session.execute(row.with_for_update(key_share=True))


def used_bytes(session: Session, user_id: str) -> int:
    """Bytes of a user's photos and results."""
    photos = select(func.coalesce(func.sum(Photo.bytes), 0)).where(Photo.user_id == user_id)
    results = (
        select(func.coalesce(func.sum(Result.bytes), 0))
        .join(Job, Job.id == Result.job_id)
        .where(Job.user_id == user_id)
    )
    return int(session.scalar(photos) or 0) + int(session.scalar(results) or 0)


def is_shown() -> ColumnElement[bool]:
    """Whether a job is shown to its user: it is no import, and none of `POST /api/v1/restore`."""
    direct = exists().where(Photo.id == Job.photo_id, Photo.direct)
    return and_(Job.kind != IMPORT, ~direct)


def waiting_jobs(session: Session, user: User) -> int:
    """A user's jobs that wait or run, without imports."""
    query = select(func.count(Job.id)).where(
        Job.user_id == user.id, Job.state.in_(OPEN), Job.kind != IMPORT
    )
    return session.scalar(query) or 0


def check_room(session: Session, settings: Settings, user: User, new: int) -> None:
    """Raise a Refusal unless a user's storage has room, and `new` more jobs can wait.

    Nobody else may add photos or jobs of the user before the end of the transaction.
    """
    lock(session, user)
    if used_bytes(session, user.id) >= settings.bytes_per_user:
        raise quota(settings.bytes_per_user)
    limit = settings.jobs_per_user
    if new > limit:
        text = "At most {limit} photos can be restored at once. Choose fewer."
        raise Refusal(422, "invalid", text, limit=limit)
    if waiting_jobs(session, user) + new > limit:
        raise Refusal(
            429,
            "queue_full",
            "At most {limit} of your jobs can wait at the same time. Try again when some are done.",
            limit=limit,
            headers={"Retry-After": "60"},
        )


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
    key: str | None = None,
) -> Photo:
    """Keep an upload, and queue its import.

    Args:
        database, storage, settings: of the studio.
        user: whose photo it is.
        file: its bytes.
        name: as the browser gives it; only its last part is kept.
        album_id: of the user's.
        direct: see `faceskd.studio.tables.Photo`; it is not imported.
        key: of the request (`Idempotency-Key`): sent again, it gives the photo of the first time.

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
            lock(session, user)  # before the look: the same request may be there twice at once
            if key and (found := session.get(Photo, keyed_id(user, key))):
                return found
            if album_id is not None:
                owned(session, Album, album_id, user)
            if used_bytes(session, user.id) + incoming.bytes > settings.bytes_per_user:
                raise quota(settings.bytes_per_user)
            photo = Photo(
                id=keyed_id(user, key) if key else new_id(),
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
    key: str | None = None,
) -> list[Job]:
    """Queue a job for each photo.

    With a `key` of the request, as for `add_photo`, jobs that are there already are not queued
    again.

    Raises:
        Refusal: no such photo, kind or option; a crop outside the photo; too many jobs; no room
            for results.
    """
    found = available_kinds(settings).get(kind)
    if found is None:
        raise Refusal(422, "invalid", "There is no kind of restoration with this name.")
    checked = found.check(options)
    with database.write() as session:
        lock(session, user)  # before the look, as for photos
        ids = [keyed_id(user, f"{key} {photo}") if key else new_id() for photo in photos]
        known = {job.id: job for one in ids if key and (job := session.get(Job, one))}
        if new := len(ids) - len(known):
            check_room(session, settings, user, new)
        jobs = []
        for job_id, photo_id in zip(ids, photos, strict=True):
            if job_id in known:
                jobs.append(known[job_id])
                continue
            photo = owned(session, Photo, photo_id, user)
            if crop and photo.width and not _inside(crop, photo):
                raise Refusal(422, "invalid", "The square is not inside the photo.")
            jobs.append(_job(photo, kind, dict(checked), crop, priority, job_id))
        session.add_all(jobs)
        session.flush()
        return jobs


def keyed_id(user: User, key: str) -> str:
    """The id of what a request with an `Idempotency-Key` makes: the same for the same key."""
    return hashlib.sha256(f"{user.id} {key}".encode()).hexdigest()[:32]


def _job(
    photo: Photo,
    kind: str,
    options: dict[str, Any],
    crop: dict[str, int] | None,
    priority: int,
    job_id: str | None = None,
) -> Job:
    return Job(
        id=job_id or new_id(),
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
