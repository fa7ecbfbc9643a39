"""Photos: upload, list, move, delete, and their files."""

from typing import Annotated

from fastapi import APIRouter, File, Form, Path, Query, UploadFile
from fastapi.responses import Response
from sqlalchemy import ColumnElement

from faceskd.studio import library, removal, schemas, views
from faceskd.studio.context import RequestKey, Studio, WithStudio, WithUser
from faceskd.studio.formats import clean_name
from faceskd.studio.routes import files
from faceskd.studio.tables import Album, Photo, User

router = APIRouter(prefix=schemas.API, tags=["photos"])
PhotoId = Annotated[schemas.Id, Path(examples=[schemas.EXAMPLE_ID])]
Cursor = Annotated[str | None, Query(max_length=100, description="`next` of the part before.")]
Limit = Annotated[int, Query(ge=1, le=200)]
PAGE = 60


@router.get("/photos")
def photos(
    studio: WithStudio,
    user: WithUser,
    album: Annotated[
        str | None, Query(max_length=32, description="An album's id, or `none`.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> schemas.Page[schemas.Photo]:
    """Photos, newest first."""
    return list_photos(studio, user, album, cursor, limit)


@router.post("/photos", status_code=201)
def upload(
    studio: WithStudio,
    user: WithUser,
    file: Annotated[UploadFile, File(description="JPEG, PNG, WebP, TIFF, AVIF or HEIC.")],
    album_id: Annotated[schemas.Id | None, Form()] = None,
    key: RequestKey = None,
) -> schemas.Photo:
    """Upload a photo. A worker decodes it; then its state is `ready` or `broken`."""
    return add(studio, user, file, album_id, key)


@router.post("/photos/move", status_code=204)
def move(body: schemas.Move, studio: WithStudio, user: WithUser) -> None:
    """Move photos to an album, or out of all albums."""
    with studio.database.write() as session:
        if body.album_id:
            library.owned(session, Album, body.album_id, user)
        for key in body.photos:
            library.owned(session, Photo, key, user).album_id = body.album_id


@router.post("/photos/delete", status_code=204)
def delete_photos(body: schemas.PhotoIds, studio: WithStudio, user: WithUser) -> None:
    """Delete photos with their results. Jobs that wait or run fail, and say why."""
    remove(studio, user, body.photos)


@router.get("/photos/{photo_id}")
def photo(photo_id: PhotoId, studio: WithStudio, user: WithUser) -> schemas.Photo:
    """One photo."""
    with studio.database.read() as session:
        return views.photo(session, library.owned(session, Photo, photo_id, user))


@router.patch("/photos/{photo_id}")
def change_photo(
    photo_id: PhotoId, body: schemas.PhotoChange, studio: WithStudio, user: WithUser
) -> schemas.Photo:
    """Rename a photo, or move it."""
    with studio.database.write() as session:
        row = library.owned(session, Photo, photo_id, user)
        if body.name is not None:
            row.name = clean_name(body.name)
        if "album_id" in body.model_fields_set:
            if body.album_id:
                library.owned(session, Album, body.album_id, user)
            row.album_id = body.album_id
        session.flush()
        return views.photo(session, row)


@router.delete("/photos/{photo_id}", status_code=204)
def delete_photo(photo_id: PhotoId, studio: WithStudio, user: WithUser) -> None:
    """Delete a photo with its results."""
    remove(studio, user, [photo_id])


@router.get("/photos/{photo_id}/file", response_class=Response)
def photo_file(photo_id: PhotoId, studio: WithStudio, user: WithUser) -> Response:
    """The file as it was uploaded."""
    row = find(studio, user, photo_id)
    return files.download(studio.storage, row.file, row.name, row.format)


@router.get("/photos/{photo_id}/thumbnail", response_class=Response)
def thumbnail(photo_id: PhotoId, studio: WithStudio, user: WithUser) -> Response:
    """A square of 320 pixels, WebP."""
    return files.picture(studio.storage, find(studio, user, photo_id).thumbnail)


@router.get("/photos/{photo_id}/preview", response_class=Response)
def preview(photo_id: PhotoId, studio: WithStudio, user: WithUser) -> Response:
    """The whole photo, upright, at most 2048 pixels along a side, WebP."""
    return files.picture(studio.storage, find(studio, user, photo_id).preview)


def find(studio: Studio, user: User, photo_id: str) -> Photo:
    """A photo of a user's."""
    with studio.database.read() as session:
        return library.owned(session, Photo, photo_id, user)


def list_photos(
    studio: Studio,
    user: User,
    album: str | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> schemas.Page[schemas.Photo]:
    """A part of a user's photos, of an album or without one ("none") or of all."""
    where: list[ColumnElement[bool]] = [Photo.direct.is_(False)]
    with studio.database.read() as session:
        if album == "none":
            where.append(Photo.album_id.is_(None))
        elif album:
            library.owned(session, Album, album, user)
            where.append(Photo.album_id == album)
        rows, following = library.page(session, Photo, user, cursor, limit, *where)
        return schemas.Page(items=views.photos(session, rows), next=following)


def add(
    studio: Studio, user: User, file: UploadFile, album_id: str | None, key: str | None = None
) -> schemas.Photo:
    """Keep an upload."""
    parts = studio.database, studio.storage, studio.settings
    row = library.add_photo(*parts, user, file.file, file.filename, album_id, key=key)
    return schemas.Photo.of(row, None, 0)


def remove(studio: Studio, user: User, photos: list[str]) -> None:
    """Delete photos, and tell the browsers."""
    removal.delete_photos(studio.database, studio.storage, user, photos)
    for key in photos:
        studio.hub.tell(user.id, "photo-deleted", {"id": key})
