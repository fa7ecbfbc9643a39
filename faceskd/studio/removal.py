"""Deleting photos, jobs, albums and users, with all that belongs to them."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import delete, select, update

from faceskd.studio.database import Database, again_after_deadlock
from faceskd.studio.errors import Refusal
from faceskd.studio.library import owned
from faceskd.studio.queue import forget_photo, result_files
from faceskd.studio.storage import Storage
from faceskd.studio.tables import Album, Job, Photo, Result, User, utcnow


@again_after_deadlock
def delete_photos(
    database: Database, storage: Storage, user: User, photos: Collection[str]
) -> None:
    """Delete photos with their results.

    Raises:
        Refusal: one of them is not there; then none is deleted.
    """
    files: list[str] = []
    with database.write() as session:
        # In one order, so that two requests cannot deadlock. Jobs before their photo: workers lock
        # the job that they end, then change the photo.
        for key in sorted(set(photos)):
            jobs = select(Job.id).where(Job.photo_id == key, Job.user_id == user.id)
            session.execute(jobs.with_for_update())
            photo = owned(session, Photo, key, user, lock=True)
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
    deleted = 0
    for photo, user in old:
        try:
            delete_photos(database, storage, user, [photo])
        except Refusal:  # its user or another worker deleted it meanwhile
            continue
        deleted += 1
    return deleted


def delete_job(database: Database, storage: Storage, user: User, key: str) -> None:
    """Delete a job with its result; a worker that is at it drops it.

    Raises:
        Refusal: there is no such job.
    """
    with database.write() as session:
        job = owned(session, Job, key, user, lock=True)
        files = result_files(job.result)
        session.delete(job)
    storage.discard(files)


def delete_album(
    database: Database, storage: Storage, user: User, key: str, *, photos: bool
) -> list[str]:
    """Delete an album, and its photos or only their place in it.

    Returns:
        The photos that were deleted.

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
    return inside if photos else []


@again_after_deadlock
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
