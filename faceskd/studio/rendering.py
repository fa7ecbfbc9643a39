"""Pages from templates."""

import hashlib
from functools import cache, partial
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from faceskd.studio import context, views
from faceskd.studio.formats import SUFFIXES
from faceskd.studio.messages import translate
from faceskd.studio.tables import User

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
    found.filters["bytes"] = readable_bytes
    found.globals["static"] = static_url
    return found


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
            _=partial(translate, language),
            limits={
                "max_bytes": settings.max_bytes,
                "max_pixels": settings.max_pixels,
                "accepted": SUFFIXES,
                "accept": ",".join(SUFFIXES),
            },
            kinds=[kind.model_dump() for kind in views.kinds(language)],
            page=template,
            path=request.url.path,
            accounts=settings.with_accounts,
            status=status,
            **values,
        )
    )
    return HTMLResponse(text, status)


def static_url(path: str) -> str:
    """The URL of a static file; with its version, so that browsers may keep it for ever."""
    return f"/static/{path}?v={_version(path)}"


@cache
def _version(path: str) -> str:
    file = STATIC / path
    return hashlib.sha256(file.read_bytes()).hexdigest()[:8] if file.is_file() else "0"


def readable_bytes(count: float) -> str:
    """Bytes in the unit that suits them.

    Examples:
        >>> readable_bytes(1_234_567), readable_bytes(512)
        ('1.2 MB', '512 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
