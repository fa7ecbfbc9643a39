"""The languages of the pages: catalogues from English text to another language, as JSON files.

English needs none. A text that a catalogue lacks is shown in English; a test compares the
catalogues with the texts of templates and code.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "ko")


@cache
def catalogue(language: str) -> dict[str, str]:
    """English text to text of a language; empty for English."""
    path = Path(__file__).parent / f"{language}.json"
    if language not in LANGUAGES or not path.is_file():
        return {}
    return json.loads(path.read_text(encoding="utf-8"))


def translate(language: str, text: str, **values: Any) -> str:
    """A text in a language, with its {names} filled in.

    Examples:
        >>> translate("en", "{count} photos", count=3)
        '3 photos'
    """
    translated = catalogue(language).get(text, text)
    return translated.format(**values) if values else translated
