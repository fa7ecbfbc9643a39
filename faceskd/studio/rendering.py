"""Pages from templates."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from faceskd.studio import context, schemas, views
from faceskd.studio.formats import SUFFIXES
from faceskd.studio.problems import TEXTS
from faceskd.studio.security import SAFE
from faceskd.studio.tables import User
from faceskd.studio.translation import (
    format_bytes,
    format_date,
    script_messages,
    translator,
)

STATIC = Path(__file__).parent / "static"
THEMES = ("auto", "light", "dark")


@cache
def environment() -> Environment:
    """Jinja, with all that templates use."""
    found = Environment(
        loader=PackageLoader("faceskd.studio"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["bytes"] = _in_language(format_bytes)
    found.filters["date"] = _in_language(format_date)
    found.filters["problem"] = _in_language(problem_text)
    found.globals["static"] = static_url
    return found


def _in_language(function: Callable[[Any, str], str]) -> Callable[[Context, Any], str]:
    """A filter that writes a value as the language of the page does."""
    return pass_context(lambda found, value: function(value, found["language"]))


def page(
    request: Request, template: str, user: User | None, /, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """A page: the template `template`.html with what every page has, and `values`."""
    language = context.get_language(request)
    settings = context.get_studio(request).settings
    theme = request.cookies.get("theme")
    text = (
        environment()
        .get_template(f"{template}.html")
        .render(
            user=user,
            language=language,
            theme=theme if theme in THEMES else "auto",
            _=translator(language),
            ngettext=translator(language).plural,
            script_messages=dict(script_messages(language)) | problem_texts(language),
            limits={
                "max_bytes": settings.max_bytes,
                "accept": ",".join(SUFFIXES),
            },
            kinds=[kind.model_dump() for kind in views.kinds(settings, language)],
            page=template,
            path=page_address(request),
            asked=request.method in SAFE,
            sign_up=settings.with_accounts and settings.sign_up,
            status=status,
            **values,
        )
    )
    return HTMLResponse(text, status)


def page_address(request: Request) -> str:
    """The address that shows a page like this again; that of a form may only take what is sent."""
    path = request.url.path
    if request.method in SAFE or path in ("/login", "/signup"):
        return path
    return "/account" if path.startswith("/account/") else "/"


def problem_text(problem: schemas.Problem, language: str) -> str:
    """What a problem says, in a language."""
    return translator(language)(TEXTS[problem.code], **problem.values)


def problem_texts(language: str) -> dict[str, str]:
    """Texts of all problems by code, for scripts, which learn of problems by events."""
    return {code: translator(language)(text) for code, text in TEXTS.items()}


class Static(StaticFiles):
    """Static files. A URL with a version never changes its content; others are asked for anew."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        scope = kwargs.get("scope") or args[2]
        versioned = b"v=" in scope["query_string"]
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if versioned else "no-cache"
        )
        return response


def static_url(path: str) -> str:
    """The URL of a static file; with its version, so that browsers may keep it for ever."""
    return f"/static/{path}?v={_version(path)}"


@cache
def _version(path: str) -> str:
    file = STATIC / path
    return hashlib.sha256(file.read_bytes()).hexdigest()[:8] if file.is_file() else "0"
