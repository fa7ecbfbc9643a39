"""What routes are given: the studio, and who makes the request."""

import contextlib
import ipaddress
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from faceskd.studio import accounts
from faceskd.studio.database import Database
from faceskd.studio.errors import Refusal
from faceskd.studio.events import Hub
from faceskd.studio.limits import RateLimit
from faceskd.studio.settings import Settings
from faceskd.studio.storage import Storage
from faceskd.studio.tables import User
from faceskd.studio.translation import LANGUAGES, negotiate

SESSION_COOKIE = "faceskd_session"
BEARER = "bearer "


@dataclass
class Studio:
    """The parts of a running server."""

    settings: Settings
    database: Database
    storage: Storage
    hub: Hub
    rate: RateLimit
    sign_ups: RateLimit


def get_studio(request: Request) -> Studio:
    """The studio of a request's application."""
    return request.app.state.studio


def bearer(request: Request) -> str | None:
    """The personal access token of a request."""
    header = request.headers.get("authorization", "")
    return header[len(BEARER) :].strip() if header.lower().startswith(BEARER) else None


def address(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else "?"


def network(request: Request) -> str:
    """As `address`, for limits: one who has an IPv6 address has all of its network of 64 bits."""
    host = address(request)
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return host
    if parsed.version == 4:
        return host
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed.packed[:8] + bytes(8), 64)))


def find_user(request: Request) -> User | None:
    """Who makes a request: by token, by login, or the local user; None for nobody."""
    studio = get_studio(request)
    if (token := bearer(request)) is not None:
        user = accounts.user_of_token(studio.database, token)
        if user is None:
            raise Refusal(401, "unauthorized", "The access token is not valid.")
        return user
    if not studio.settings.with_accounts:
        return accounts.local_user(studio.database)
    if not (token := request.cookies.get(SESSION_COOKIE)):
        return None
    user, noted = accounts.user_of_login(studio.database, studio.settings, token)
    if noted:  # the cookie lasts as long as the login; `Security` adds the header to the answer
        request.state.headers = {"Set-Cookie": session_cookie(request, token)}
    return user


def session_cookie(request: Request, token: str) -> str:
    """The header that gives a browser the token of its login."""
    settings, answer = get_studio(request).settings, Response()
    answer.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=round(settings.session_days * 86_400),
        httponly=True,
        samesite="lax",
        secure=settings.secure_cookies or request.url.scheme == "https",
    )
    return answer.headers["set-cookie"]


def limited_user(request: Request) -> User | None:
    """As `find_user`; counts the request, once.

    Raises:
        Refusal: too many requests, or the access token is not valid.
    """
    if hasattr(request.state, "user"):  # found before the body was read
        return request.state.user
    rate = get_studio(request).rate
    try:
        user = find_user(request)
    except Refusal:  # a wrong token; guesses are counted, too
        rate.count(network(request))
        raise
    rate.count(user.id if user else network(request))
    request.state.user = user
    return user


def get_user(user: Annotated[User | None, Depends(limited_user)]) -> User:
    """Who makes a request.

    Raises:
        Refusal: nobody is logged in.
    """
    if user is None:
        raise Refusal(401, "unauthorized", "Log in first, or send an access token.")
    return user


def expect_user(request: Request) -> None:
    """As `get_user`; if the database cannot be reached, the route will say so.

    Raises:
        Refusal: nobody is logged in, or too many requests.
    """
    with contextlib.suppress(DBAPIError, PoolTimeout):
        get_user(limited_user(request))


def get_language(request: Request) -> str:
    """The language of a request: of the cookie, else the first the browser asks for."""
    if (chosen := request.cookies.get("language")) in LANGUAGES:
        return str(chosen)
    return negotiate(request.headers.get("accept-language"))


RequestKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=100,
        description="A random text. A request that is sent again with it, because the answer was "
        "lost, does nothing twice.",
    ),
]
WithStudio = Annotated[Studio, Depends(get_studio)]
WithUser = Annotated[User, Depends(get_user)]
MaybeUser = Annotated[User | None, Depends(limited_user)]
WithLanguage = Annotated[str, Depends(get_language)]
