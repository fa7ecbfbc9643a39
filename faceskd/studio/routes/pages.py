"""The pages. Their forms work without scripts; scripts use the API."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from faceskd.studio import library, schemas, views
from faceskd.studio.context import MaybeUser, Studio, WithStudio, WithUser
from faceskd.studio.cost import cost
from faceskd.studio.rendering import THEMES, page
from faceskd.studio.routes import jobs, photos
from faceskd.studio.routes.account import list_tokens
from faceskd.studio.tables import Album, Photo, User
from faceskd.studio.translation import LANGUAGES

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
Text = Annotated[str, Form(max_length=1000)]
YEAR = 365 * 86_400


def back(path: str) -> RedirectResponse:
    """Go on to a page of this server; to the start for any other address."""
    own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return RedirectResponse(path if own else "/", 303)


@router.get("/")
def home(request: Request, studio: WithStudio, user: WithUser) -> Response:
    with studio.database.read() as session:
        albums = views.albums(session, user)
    shown = photos.list_photos(studio, user)
    return page(request, "home", user, albums=albums, photos=shown, album=None)


@router.get("/albums/{album_id}")
def album(album_id: schemas.Id, request: Request, studio: WithStudio, user: WithUser) -> Response:
    with studio.database.read() as session:
        library.owned(session, Album, album_id, user)
        albums = views.albums(session, user)
    shown = photos.list_photos(studio, user, album_id)
    (chosen,) = [one for one in albums if one.id == album_id]
    return page(request, "album", user, albums=albums, photos=shown, album=chosen)


@router.get("/photos")
def more_photos(
    request: Request,
    studio: WithStudio,
    user: WithUser,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
    album: Annotated[schemas.Id | None, Query()] = None,
    purpose: Annotated[Literal["", "uncover"], Query(alias="for")] = "",
) -> Response:
    """The next tiles of a grid, for scripts."""
    shown = photos.list_photos(studio, user, album, cursor)
    choose = purpose == "uncover"
    return page(request, "_tiles", user, photos=shown, album_id=album, choose=choose)


@router.get("/photos/{photo_id}/tile")
def tile(
    photo_id: schemas.Id,
    request: Request,
    studio: WithStudio,
    user: WithUser,
    purpose: Annotated[Literal["", "uncover"], Query(alias="for")] = "",
) -> Response:
    """One tile of a grid as it is now, for scripts."""
    with studio.database.read() as session:
        shown = views.photo(session, library.owned(session, Photo, photo_id, user))
    return page(request, "_tile", user, photo=shown, choose=purpose == "uncover")


@router.get("/photos/{photo_id}")
def photo(photo_id: schemas.Id, request: Request, studio: WithStudio, user: WithUser) -> Response:
    with studio.database.read() as session:
        row = library.owned(session, Photo, photo_id, user)
        shown = views.photo(session, row)
        albums = views.albums(session, user)
        newer, older = neighbours(session, user, row)
    found = jobs.list_jobs(studio, user, photo=photo_id).items
    return page(
        request, "photo", user, photo=shown, jobs=found, albums=albums, previous=newer, next=older
    )


@router.get("/jobs")
def all_jobs(
    request: Request,
    studio: WithStudio,
    user: WithUser,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    return page(request, "jobs", user, jobs=jobs.list_jobs(studio, user, cursor=cursor))


@router.get("/uncover")
def choose(request: Request, studio: WithStudio, user: WithUser) -> Response:
    return page(request, "uncover_choose", user, photos=photos.list_photos(studio, user))


@router.get("/uncover/{photo_id}")
def uncover(photo_id: schemas.Id, request: Request, studio: WithStudio, user: WithUser) -> Response:
    with studio.database.read() as session:
        shown = views.photo(session, library.owned(session, Photo, photo_id, user))
    found = jobs.list_jobs(studio, user, photo=photo_id).items
    cut = [job for job in found if job.crop]
    whole = [job.result for job in found if job.kind == "photo" and job.result and not job.crop]
    faces = whole[0].faces if whole else []
    return page(request, "uncover", user, photo=shown, jobs=cut, faces=faces)


@router.get("/cost")
def show_cost(request: Request, studio: WithStudio, user: WithUser) -> Response:
    with studio.database.read() as session:
        return page(request, "cost", user, cost=cost(session))


@router.get("/api")
def api(request: Request, user: WithUser) -> Response:
    origin = str(request.base_url).rstrip("/")
    return page(request, "api", user, openapi=request.app.openapi(), origin=origin)


@router.get("/account")
def account(request: Request, studio: WithStudio, user: WithUser) -> Response:
    return account_page(request, studio, user)


def account_page(
    request: Request,
    studio: Studio,
    user: User,
    *,
    error: str | None = None,
    done: str | None = None,
    new_token: str | None = None,
    status: int = 200,
) -> Response:
    """The page of the account, with what came of a form."""
    with studio.database.read() as session:
        usage = views.usage(session, user, studio.settings)
    return page(
        request,
        "account",
        user,
        status=status,
        usage=usage,
        tokens=list_tokens(studio, user),
        new_token=new_token,
        error=error,
        done=done,
    )


@router.get("/login")
def login_page(request: Request, user: MaybeUser, next: str = "/") -> Response:
    if user is not None:
        return back(next)
    return page(request, "login", None, error=None, name="", next=next)


@router.get("/signup")
def signup_page(request: Request, user: MaybeUser) -> Response:
    if user is not None:
        return back("/")
    return page(request, "signup", None, error=None, name="")


@router.post("/preferences")
def preferences(
    request: Request, user: MaybeUser, language: Text = "", theme: Text = "", next: Text = "/"
) -> Response:
    response = back(next)
    for name, value, allowed in (("language", language, LANGUAGES), ("theme", theme, THEMES)):
        if value in allowed:
            response.set_cookie(name, value, max_age=YEAR, samesite="lax", httponly=True)
    return response


def neighbours(session: Session, user: User, row: Photo) -> tuple[str | None, str | None]:
    """The photos before and after one, newest first."""
    shown = select(Photo.id).where(Photo.user_id == user.id, Photo.direct.is_(False)).limit(1)
    newer = shown.where(
        (Photo.created > row.created) | ((Photo.created == row.created) & (Photo.id > row.id))
    ).order_by(Photo.created, Photo.id)
    older = shown.where(
        (Photo.created < row.created) | ((Photo.created == row.created) & (Photo.id < row.id))
    ).order_by(Photo.created.desc(), Photo.id.desc())
    return session.scalar(newer), session.scalar(older)
