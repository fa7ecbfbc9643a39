"""From rows of tables to what API, events and pages show."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from faceskd.studio import library, schemas
from faceskd.studio.kinds import available_kinds
from faceskd.studio.settings import Settings
from faceskd.studio.tables import IMPORT, Album, Job, Photo, User
from faceskd.studio.translation import translator


def photos(session: Session, rows: Sequence[Photo]) -> list[schemas.Photo]:
    """Photos with their newest jobs."""
    keys = [photo.id for photo in rows]
    shown = (Job.photo_id.in_(keys), Job.kind != IMPORT)
    place = func.row_number().over(
        partition_by=Job.photo_id, order_by=(Job.created.desc(), Job.id.desc())
    )
    ranked = select(Job.id, place.label("place")).where(*shown).subquery()
    query = select(Job).join(ranked, ranked.c.id == Job.id).where(ranked.c.place == 1)
    newest = {job.photo_id: job for job in session.scalars(query).unique()}
    count = select(Job.photo_id, func.count(Job.id)).where(*shown).group_by(Job.photo_id)
    counts = dict(session.execute(count).tuples().all())
    return [
        schemas.Photo.of(photo, newest.get(photo.id), counts.get(photo.id, 0)) for photo in rows
    ]


def photo(session: Session, row: Photo) -> schemas.Photo:
    """One photo."""
    return photos(session, [row])[0]


def albums(session: Session, user: User, key: str | None = None) -> list[schemas.Album]:
    """A user's albums by name, or one of them."""
    query = select(Album).where(Album.user_id == user.id).order_by(Album.name, Album.id)
    if key is not None:
        query = query.where(Album.id == key)
    count = select(Photo.album_id, func.count(Photo.id)).where(
        Photo.user_id == user.id, Photo.album_id.is_not(None)
    )
    counts = dict(session.execute(count.group_by(Photo.album_id)).tuples().all())
    place = func.row_number().over(partition_by=Photo.album_id, order_by=Photo.created.desc())
    ranked = (
        select(Photo.id, Photo.album_id, place.label("place"))
        .where(Photo.user_id == user.id, Photo.thumbnail.is_not(None))
        .subquery()
    )
    newest = select(ranked.c.album_id, ranked.c.id).where(ranked.c.place == 1)
    covers = dict(session.execute(newest).tuples().all())
    return [
        schemas.Album(
            id=album.id,
            name=album.name,
            created=album.created,
            photos=counts.get(album.id, 0),
            cover=f"{schemas.API}/photos/{covers[album.id]}/thumbnail"
            if album.id in covers
            else None,
        )
        for album in session.scalars(query)
    ]


def usage(session: Session, user: User, settings: Settings) -> schemas.Usage:
    """What a user has, and may have."""
    count = select(func.count(Photo.id)).where(Photo.user_id == user.id)
    return schemas.Usage(
        photos=session.scalar(count) or 0,
        jobs_waiting=library.waiting_jobs(session, user),
        jobs_limit=settings.jobs_per_user,
        bytes=library.used_bytes(session, user.id),
        bytes_limit=settings.bytes_per_user,
    )


def kinds(settings: Settings, language: str) -> list[schemas.Kind]:
    """All kinds of restoration that the studio offers, in a language."""

    say = translator(language)
    return [
        schemas.Kind(
            name=kind.name,
            title=say(kind.title),
            description=say(kind.description),
            options=[
                schemas.Option(
                    name=option.name,
                    title=say(option.title),
                    description=say(option.description),
                    type=option.type,  # type: ignore[arg-type]
                    default=option.default,
                    minimum=option.minimum,
                    maximum=option.maximum,
                    step=option.step,
                    choices=[
                        schemas.Choice(value=value, title=say(title))
                        for value, title in option.choices
                    ],
                )
                for option in kind.options
            ],
        )
        for kind in available_kinds(settings).values()
    ]
