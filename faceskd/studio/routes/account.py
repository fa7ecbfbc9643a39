"""Accounts: sign up, log in and out, password, tokens, deletion, usage."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy import select

from faceskd.studio import accounts, removal, schemas, views
from faceskd.studio.context import (
    SESSION_COOKIE,
    MaybeUser,
    Studio,
    WithStudio,
    WithUser,
    network,
    session_cookie,
)
from faceskd.studio.errors import Refusal, not_found
from faceskd.studio.tables import Token, User

router = APIRouter(prefix=schemas.API, tags=["account"])
TokenId = Annotated[schemas.Id, Path(examples=[schemas.EXAMPLE_ID])]


def start_session(studio: Studio, request: Request, response: Response, user: User) -> None:
    """Log in: a new session in the place of the one that the browser had."""
    with studio.database.write() as session:
        if old := request.cookies.get(SESSION_COOKIE):
            accounts.log_out(session, old)
        token = accounts.log_in(session, user)
    response.headers.append("Set-Cookie", session_cookie(request, token))


def end_session(studio: Studio, request: Request, response: Response) -> None:
    """Log out."""
    if token := request.cookies.get(SESSION_COOKIE):
        with studio.database.write() as session:
            accounts.log_out(session, token)
    _forget_session(response)


def remove_user(
    studio: Studio, request: Request, response: Response, user: User, password: str
) -> None:
    """Delete an account with all photos, results, albums, sessions and tokens.

    Raises:
        Refusal: the password is wrong, or too many were tried.
    """
    confirm(studio, request, user, password)
    removal.delete_user(studio.database, studio.storage, user)
    _forget_session(response)


def _forget_session(response: Response) -> None:
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")


def create_user(studio: Studio, request: Request, name: str, password: str) -> User:
    """Sign up.

    Raises:
        Refusal: there are no accounts, nobody new may sign up, name or password cannot be, or too
            many signed up from the address of the request.
    """
    if not studio.settings.with_accounts or not studio.settings.sign_up:
        raise Refusal(403, "forbidden", "Nobody can sign up here. Ask the operator.")
    studio.sign_ups.count(network(request))
    return accounts.sign_up(studio.database, name, password)


def check_password(studio: Studio, request: Request, name: str, password: str) -> User:
    """Who has this name and password; failures count for the address of the request."""
    return accounts.check_password(
        studio.database, studio.settings, name, password, network(request)
    )


def confirm(studio: Studio, request: Request, user: User, password: str) -> None:
    """Check the password of who is logged in."""
    if user.local:
        raise Refusal(403, "forbidden", "There is no account on this computer's own studio.")
    check_password(studio, request, user.name, password)


@router.post("/users", status_code=201)
def sign_up(
    body: schemas.Credentials,
    studio: WithStudio,
    user: MaybeUser,
    request: Request,
    response: Response,
) -> schemas.User:
    """Sign up, and log in."""
    created = create_user(studio, request, body.name, body.password)
    start_session(studio, request, response, created)
    return schemas.User.of(created)


@router.post("/session")
def log_in(
    body: schemas.Credentials,
    studio: WithStudio,
    user: MaybeUser,
    request: Request,
    response: Response,
) -> schemas.User:
    """Log in: sets the session's cookie."""
    found = check_password(studio, request, body.name, body.password)
    start_session(studio, request, response, found)
    return schemas.User.of(found)


@router.delete("/session", status_code=204)
def log_out(studio: WithStudio, user: WithUser, request: Request, response: Response) -> None:
    """Log out."""
    end_session(studio, request, response)


@router.get("/me")
def me(user: WithUser) -> schemas.User:
    """Who makes the request."""
    return schemas.User.of(user)


@router.get("/me/usage")
def usage(studio: WithStudio, user: WithUser) -> schemas.Usage:
    """Photos, waiting jobs and bytes, and their limits."""
    with studio.database.read() as session:
        return views.usage(session, user, studio.settings)


@router.put("/me/password", status_code=204)
def change_password(
    body: schemas.NewPassword, studio: WithStudio, user: WithUser, request: Request
) -> None:
    """Change the password; all other sessions end."""
    confirm(studio, request, user, body.current)
    keep = request.cookies.get(SESSION_COOKIE)
    accounts.change_password(studio.database, user, body.new, keep)


@router.delete("/me", status_code=204)
def delete_account(
    body: schemas.PasswordOnly,
    studio: WithStudio,
    user: WithUser,
    request: Request,
    response: Response,
) -> None:
    """Delete the account with all photos, results, albums, sessions and tokens."""
    remove_user(studio, request, response, user, body.password)


@router.get("/tokens")
def tokens(studio: WithStudio, user: WithUser) -> schemas.Items[schemas.Token]:
    """Personal access tokens."""
    return schemas.Items(items=list_tokens(studio, user))


@router.post("/tokens", status_code=201)
def new_token(body: schemas.Named, studio: WithStudio, user: WithUser) -> schemas.NewToken:
    """Make a personal access token. Its text is in this answer only."""
    return create_token(studio, user, body.name)


@router.delete("/tokens/{token_id}", status_code=204)
def delete_token(token_id: TokenId, studio: WithStudio, user: WithUser) -> None:
    """Delete a personal access token; it is no longer accepted."""
    remove_token(studio, user, token_id)


def list_tokens(studio: Studio, user: User) -> list[schemas.Token]:
    """A user's tokens, newest first."""
    query = select(Token).where(Token.user_id == user.id).order_by(Token.created.desc())
    with studio.database.read() as session:
        names = set(schemas.Token.model_fields)
        return [
            schemas.Token(**{name: getattr(token, name) for name in names})
            for token in session.scalars(query)
        ]


def create_token(studio: Studio, user: User, name: str) -> schemas.NewToken:
    """Make a token."""
    with studio.database.write() as session:
        token, text = accounts.new_token(session, user, name)
        names = set(schemas.Token.model_fields)
        return schemas.NewToken(**{name: getattr(token, name) for name in names}, token=text)


def remove_token(studio: Studio, user: User, token_id: str) -> None:
    """Delete a token of a user's.

    Raises:
        Refusal: there is none.
    """
    with studio.database.write() as session:
        token = session.get(Token, token_id)
        if token is None or token.user_id != user.id:
            raise not_found()
        session.delete(token)
