"""What goes wrong, as an answer: JSON for programs, a page for people, in their language."""

import contextlib
import logging
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NoResultFound
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from faceskd.studio import context, schemas
from faceskd.studio.database import is_away, is_deadlock
from faceskd.studio.errors import Refusal, not_found, too_large
from faceskd.studio.rendering import page
from faceskd.studio.security import HEADERS
from faceskd.studio.tables import User
from faceskd.studio.translation import mark, translator

logger = logging.getLogger(__name__)

REASONS = {
    "missing": mark("it is missing"),
    "extra_forbidden": mark("there is no such field"),
    "too_short": mark("too few entries: at least {min_length}"),
    "too_long": mark("too many entries: at most {max_length}"),
    "string_too_short": mark("too few characters: at least {min_length}"),
    "string_too_long": mark("too many characters: at most {max_length}"),
    "greater_than_equal": mark("it is less than {ge}"),
    "less_than_equal": mark("it is more than {le}"),
    "literal_error": mark("it must be {expected}"),
    "json_invalid": mark("it is no JSON"),
}
"""By pydantic's types of errors; its own messages are in English only."""

WRONG = mark("it has the wrong type or form")
"""Of all other types."""


def install(app: FastAPI) -> None:
    """Answer all errors of an application."""
    app.add_exception_handler(Refusal, refused)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, refused_by_framework)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, invalid)  # type: ignore[arg-type]
    app.add_exception_handler(NoResultFound, deleted_meanwhile)
    app.add_exception_handler(DBAPIError, database_failed)  # type: ignore[arg-type]
    app.add_exception_handler(PoolTimeout, away)
    app.add_exception_handler(Exception, failed)


def refused(request: Request, refusal: Refusal) -> Response:
    """The answer to a refused request."""
    language = context.get_language(request)
    message = translator(language)(refusal.text, **refusal.values)
    if request.url.path.startswith(schemas.API):
        body = {"error": {"code": refusal.code, "message": message}}
        return JSONResponse(body, refusal.status, refusal.headers)
    if refusal.status == 401:
        wanted = request.url.path if request.method == "GET" else "/"
        return RedirectResponse(f"/login?next={quote(wanted)}", 303)
    user = _visitor(request, refusal.status)
    answer = page(
        request,
        "error",
        user,
        status=refusal.status,
        code=refusal.code,
        message=message,
    )
    answer.headers.update(refusal.headers)
    return answer


def _visitor(request: Request, status: int) -> User | None:
    """Who sees the page of an error: it has their menu, also at addresses that no route takes."""
    if status == 404 and not hasattr(request.state, "user"):
        with contextlib.suppress(Refusal, DBAPIError, PoolTimeout):
            return context.find_user(request)
    return getattr(request.state, "user", None)


def refused_by_framework(request: Request, error: HTTPException) -> Response:
    """As `refused`, for what FastAPI and Starlette refuse by themselves."""
    if error.status_code == 404:
        return refused(request, not_found())
    if error.status_code == 413:
        return refused(request, too_large(context.get_studio(request).settings.max_bytes))
    text = {405: "This address does not take such requests."}.get(
        error.status_code, "The request cannot be read."
    )
    headers = dict(error.headers or {})
    return refused(request, Refusal(error.status_code, "invalid", text, headers=headers))


def invalid(request: Request, error: RequestValidationError) -> Response:
    """The answer to values of the wrong type or outside their range; an id that is none is 404."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if place[0] == "path":
        return refused(request, not_found())
    say = translator(context.get_language(request))
    reason = say(REASONS.get(first["type"], WRONG), **first.get("ctx", {}))
    name = ".".join(place[1:]) or place[0]
    text = "Not accepted: {name}: {reason}."
    return refused(request, Refusal(422, "invalid", text, name=name[:100], reason=reason[:200]))


def deleted_meanwhile(request: Request, error: Exception) -> Response:
    """The answer where another request deleted what this one had found a moment before."""
    return refused(request, not_found())


def database_failed(request: Request, error: DBAPIError) -> Response:
    """The answer when the database cannot be reached, or refuses a change."""
    if isinstance(error, IntegrityError) or is_deadlock(error):  # two requests at once
        text = "Somebody else changed this at the same moment. Try again."
        return refused(request, Refusal(409, "conflict", text))
    if isinstance(error, DataError):  # PostgreSQL keeps no text with a NUL
        text = "The request has characters that cannot be stored."
        return refused(request, Refusal(422, "invalid", text))
    if not is_away(error):
        raise error
    return away(request, error)


def away(request: Request, error: Exception) -> Response:
    """The answer when the database cannot be reached."""
    logger.warning("database away", extra={"path": request.url.path})
    text = (
        "The database cannot be reached. Nothing is lost: what was sent before is kept. Try again "
        "in a moment."
    )
    refusal = Refusal(503, "unavailable", text, headers={"Retry-After": "5"})
    return refused(request, refusal)


def failed(request: Request, error: Exception) -> Response:
    """The answer to a bug; Starlette logs it."""
    text = "Something went wrong here. It was written down for the operator."
    answer = refused(request, Refusal(500, "internal", text))
    answer.headers.update(HEADERS)
    return answer
