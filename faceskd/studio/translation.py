"""Texts in the language of the reader, from gettext catalogues in ``locale/``.

The English text is the key. ``tools/extract_messages.py`` collects the texts of templates, scripts
and Python files into the catalogues. Babel reads the ``.po`` files as they are, so nothing has to
be compiled.
"""

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from babel import Locale, negotiate_locale
from babel.dates import format_datetime
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

LANGUAGES = {"en": "English", "ko": "한국어"}
CATALOGUES = Path(__file__).parent / "locale"
_SIZES = ("B", "kB", "MB", "GB", "TB")


class Translator:
    """Translates texts into one language; a text without a translation stays English.

    Args:
        language: a key of :data:`LANGUAGES`.

    Example:
        >>> _ = Translator("ko")
        >>> _("Cancel")
        '취소'
        >>> _.plural("{count} photo", "{count} photos", 3)
        '사진 3장'
    """

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = _texts(language)

    def __call__(self, text: str, **values: object) -> str:
        """The translation of ``text``, with ``{name}`` replaced by ``values``."""
        translated = self._texts.get(text, text)
        return translated.format(**values) if values else translated

    def plural(self, one: str, many: str, count: int, **values: object) -> str:
        """``one`` or ``many``, translated, with ``{count}`` replaced as well."""
        source = one if count == 1 else many
        return self._texts.get(one, source).format(count=count, **values)


@functools.cache
def translator(language: str) -> Translator:
    """The translator into ``language``; English if there is no such catalogue."""
    return Translator(language if language in LANGUAGES else "en")


def mark(text: str) -> str:
    """``text`` unchanged: tells the extraction that it will be translated later."""
    return text


def negotiate(accept_language: str | None) -> str:
    """The language that an ``Accept-Language`` header prefers among :data:`LANGUAGES`.

    Example:
        >>> negotiate("ko-KR,ko;q=0.9,en;q=0.8"), negotiate("fr"), negotiate(None)
        ('ko', 'en', 'en')
    """
    weighted = []
    for entry in (accept_language or "").split(","):
        name, _, weight = entry.strip().partition(";q=")
        try:
            weighted.append((-float(weight or 1), name.replace("-", "_")))
        except ValueError:
            continue
    preferred = [name for weight, name in sorted(weighted, key=lambda pair: pair[0]) if weight]
    return negotiate_locale(preferred, list(LANGUAGES)) or "en"


def script_messages(language: str) -> Mapping[str, str]:
    """Translations of all texts that scripts contain; empty for English."""
    return _texts(language, "static/")


def format_date(value: str | datetime, language: str) -> str:
    """A point in time (ISO 8601 or datetime) as the language writes it, in its own time zone.

    Example:
        >>> format_date("2026-03-01T14:30:00+00:00", "en")
        'Mar 1, 2026, 14:30'
    """
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    pattern = "yyyy. M. d. HH:mm" if language == "ko" else "MMM d, yyyy, HH:mm"
    return format_datetime(time, pattern, tzinfo=time.tzinfo, locale=Locale.parse(language))


def format_bytes(value: int, language: str) -> str:
    """A number of bytes in decimal units.

    Example:
        >>> format_bytes(1_234_567, "en")
        '1.2 MB'
    """
    size, unit = float(value), 0
    while size >= 1000 and unit + 1 < len(_SIZES):
        size, unit = size / 1000, unit + 1
    pattern = "0" if unit == 0 or size >= 100 else "0.#"
    return f"{format_decimal(size, pattern, locale=language)} {_SIZES[unit]}"


@functools.cache
def _texts(language: str, folder: str = "") -> dict[str, str]:
    """English text to translation, for texts used in files under ``folder``."""
    path = CATALOGUES / f"{language}.po"
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    return {
        _first(message.id): _first(message.string)
        for message in catalogue
        if _first(message.id)
        and _first(message.string)
        and any(name.startswith(folder) for name, _ in message.locations)
    }


def _first(text: str | Sequence[str] | None) -> str:
    """A text, or the first of its plural forms."""
    return text if isinstance(text, str) else (text or ("",))[0]
