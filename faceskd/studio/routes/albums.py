"""Albums, and ZIP files of their photos."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from faceskd.studio import library, removal, schemas, views
from faceskd.studio.context import Studio, WithStudio, WithUser
from faceskd.studio.routes.archive import album_files, zip_stream
from faceskd.studio.tables import Album, User

router = APIRouter(prefix=schemas.API, tags=["albums"])
AlbumId = Annotated[schemas.Id, Path(examples=[schemas.EXAMPLE_ID])]
Content = Annotated[
    Literal["results", "originals"],
    Query(description="Newest results of the photos, or the photos as they were uploaded."),
]


@router.get("/albums")
def albums(studio: WithStudio, user: WithUser) -> schemas.Items[schemas.Album]:
    """All albums, by name."""
    with studio.database.read() as session:
        return schemas.Items(items=views.albums(session, user))


@router.post("/albums", status_code=201)
def new_album(body: schemas.Named, studio: WithStudio, user: WithUser) -> schemas.Album:
    """Make an album."""
    return create(studio, user, body.name)


@router.get("/albums/{album_id}")
def album(album_id: AlbumId, studio: WithStudio, user: WithUser) -> schemas.Album:
    """One album."""
    with studio.database.read() as session:
        library.owned(session, Album, album_id, user)
        return views.albums(session, user, album_id)[0]


@router.patch("/albums/{album_id}")
def rename_album(
    album_id: AlbumId, body: schemas.Named, studio: WithStudio, user: WithUser
) -> schemas.Album:
    """Rename an album."""
    return rename(studio, user, album_id, body.name)


@router.delete("/albums/{album_id}", status_code=204)
def delete_album(
    album_id: AlbumId,
    studio: WithStudio,
    user: WithUser,
    photos: Annotated[
        Literal["keep", "delete"], Query(description="What becomes of its photos.")
    ] = "keep",
) -> None:
    """Delete an album."""
    remove(studio, user, album_id, photos == "delete")


@router.get("/albums/{album_id}/zip", response_class=StreamingResponse)
def album_zip(
    album_id: AlbumId, studio: WithStudio, user: WithUser, content: Content = "results"
) -> StreamingResponse:
    """A ZIP file of an album's photos, made while it is sent."""
    with studio.database.read() as session:
        name = library.owned(session, Album, album_id, user).name
        files = album_files(session, studio.storage, user, album_id, content == "results")
    return zip_stream(files, name)


@router.get("/zip", response_class=StreamingResponse)
def all_zip(studio: WithStudio, user: WithUser, content: Content = "results") -> StreamingResponse:
    """A ZIP file of all photos, made while it is sent."""
    with studio.database.read() as session:
        files = album_files(session, studio.storage, user, None, content == "results")
    return zip_stream(files, "photos")


def create(studio: Studio, user: User, name: str) -> schemas.Album:
    """Make an album."""
    with studio.database.write() as session:
        row = Album(user_id=user.id, name=library.check_name(name))
        session.add(row)
        session.flush()
        return views.albums(session, user, row.id)[0]


def rename(studio: Studio, user: User, album_id: str, name: str) -> schemas.Album:
    """Rename an album of a user's."""
    with studio.database.write() as session:
        row = library.owned(session, Album, album_id, user)
        row.name = library.check_name(name)
        session.flush()
        return views.albums(session, user, album_id)[0]


def remove(studio: Studio, user: User, album_id: str, photos: bool) -> None:
    """Delete an album of a user's, also its photos if they are to go, and tell the browsers."""
    parts = studio.database, studio.storage
    for key in removal.delete_album(*parts, user, album_id, photos=photos):
        studio.hub.tell(user.id, "photo-deleted", {"id": key})
