"""The forms of the pages: what they change, then back to a page."""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from faceskd.studio import accounts, schemas
from faceskd.studio.context import (
    SESSION_COOKIE,
    MaybeUser,
    Studio,
    WithLanguage,
    WithStudio,
    WithUser,
)
from faceskd.studio.errors import Refusal
from faceskd.studio.rendering import page
from faceskd.studio.routes import account, albums, jobs, photos
from faceskd.studio.routes.pages import account_page, back
from faceskd.studio.tables import User
from faceskd.studio.translation import translator

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
Text = Annotated[str, Form(max_length=1000)]


def said(language: str, refusal: Refusal) -> str:
    """What a refusal says, in a language."""
    return translator(language)(refusal.text, **refusal.values)


def on_account_page(
    request: Request, studio: Studio, user: User, language: str, change: Callable[[], Response]
) -> Response:
    """What `change` answers; where it is refused, the page of the account, which says why."""
    try:
        return change()
    except Refusal as refusal:
        error = said(language, refusal)
        return account_page(request, studio, user, error=error, status=refusal.status)


@router.post("/login")
def login(
    request: Request,
    studio: WithStudio,
    user: MaybeUser,
    language: WithLanguage,
    name: Text = "",
    password: Text = "",
    next: Text = "/",
) -> Response:
    try:
        found = account.check_password(studio, request, name, password)
    except Refusal as refusal:
        error = said(language, refusal)
        return page(
            request, "login", None, status=refusal.status, error=error, name=name, next=next
        )
    response = back(next)
    account.start_session(studio, request, response, found)
    return response


@router.post("/signup")
def signup(
    request: Request,
    studio: WithStudio,
    user: MaybeUser,
    language: WithLanguage,
    name: Text = "",
    password: Text = "",
) -> Response:
    try:
        created = account.create_user(studio, request, name, password)
    except Refusal as refusal:
        error = said(language, refusal)
        return page(request, "signup", None, status=refusal.status, error=error, name=name)
    response = back("/")
    account.start_session(studio, request, response, created)
    return response


@router.post("/logout")
def logout(request: Request, studio: WithStudio, user: MaybeUser) -> Response:
    response = back("/login")
    account.end_session(studio, request, response)
    return response


@router.post("/account/password")
def password(
    request: Request,
    studio: WithStudio,
    user: WithUser,
    language: WithLanguage,
    current: Text = "",
    new: Text = "",
) -> Response:
    def change() -> Response:
        account.confirm(studio, request, user, current)
        keep = request.cookies.get(SESSION_COOKIE)
        accounts.change_password(studio.database, user, new, keep)
        done = translator(language)("The password was changed.")
        return account_page(request, studio, user, done=done)

    return on_account_page(request, studio, user, language, change)


@router.post("/account/delete")
def delete_account(
    request: Request,
    studio: WithStudio,
    user: WithUser,
    language: WithLanguage,
    password: Text = "",
) -> Response:
    def delete() -> Response:
        response = back("/signup")
        account.remove_user(studio, request, response, user, password)
        return response

    return on_account_page(request, studio, user, language, delete)


@router.post("/account/tokens")
def new_token(
    request: Request,
    studio: WithStudio,
    user: WithUser,
    language: WithLanguage,
    name: Text = "",
) -> Response:
    def create() -> Response:
        token = account.create_token(studio, user, name)
        return account_page(request, studio, user, new_token=token.token)

    return on_account_page(request, studio, user, language, create)


@router.post("/account/tokens/{token_id}/delete")
def delete_token(token_id: schemas.Id, studio: WithStudio, user: WithUser) -> RedirectResponse:
    account.remove_token(studio, user, token_id)
    return back("/account")


@router.post("/albums")
def new_album(studio: WithStudio, user: WithUser, name: Text = "") -> RedirectResponse:
    return back(f"/albums/{albums.create(studio, user, name).id}")


@router.post("/albums/{album_id}/rename")
def rename_album(
    album_id: schemas.Id, studio: WithStudio, user: WithUser, name: Text = ""
) -> RedirectResponse:
    albums.rename(studio, user, album_id, name)
    return back(f"/albums/{album_id}")


@router.post("/albums/{album_id}/delete")
def delete_album(
    album_id: schemas.Id,
    studio: WithStudio,
    user: WithUser,
    photos: Annotated[Literal["keep", "delete"], Form()] = "keep",
) -> RedirectResponse:
    albums.remove(studio, user, album_id, photos == "delete")
    return back("/")


@router.post("/upload")
def upload(
    studio: WithStudio,
    user: WithUser,
    files: list[UploadFile],
    album_id: Annotated[str, Form(max_length=32)] = "",
) -> RedirectResponse:
    for file in files:
        photos.add(studio, user, file, album_id or None)
    return back(f"/albums/{album_id}" if album_id else "/")


@router.post("/photos/{photo_id}/delete")
def delete_photo(photo_id: schemas.Id, studio: WithStudio, user: WithUser) -> RedirectResponse:
    photos.remove(studio, user, [photo_id])
    return back("/")


@router.post("/photos/{photo_id}/jobs")
async def restore(
    photo_id: schemas.Id, request: Request, studio: WithStudio, user: WithUser
) -> RedirectResponse:
    form = await request.form(max_files=0, max_fields=50)
    kind = str(form.get("kind", ""))[:32]
    own = f"option.{kind}."  # without scripts, the options of all kinds are sent
    options = {
        name.removeprefix(own): str(value) for name, value in form.items() if name.startswith(own)
    }
    body = schemas.NewJobs.model_validate({"photos": [photo_id], "kind": kind, "options": options})
    await run_in_threadpool(jobs.create, studio, user, body)
    return back(f"/photos/{photo_id}")


@router.post("/jobs/{job_id}/{action}")
def change_job(
    job_id: schemas.Id,
    action: Literal["cancel", "retry", "delete"],
    request: Request,
    studio: WithStudio,
    user: WithUser,
    next: Text = "/jobs",
) -> RedirectResponse:
    change = {"cancel": jobs.cancel, "retry": jobs.retry, "delete": jobs.remove}[action]
    change(studio, user, job_id)
    return back(next)
