"""Paths on the command line, read literally.

Hydra's grammar reads `src=My Photos (1)` as a function, `src=a,b` as a sweep and `src=2024` as a
number. For options that are paths, the user means the text itself.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

PATH_OPTIONS = frozenset(
    {"src", "dst", "out", "faces", "photos", "split_file", "weights", "init", "teacher", "dir"}
    | {"dictionary", "teacher_dictionary", "like", "face_model", "calibration", "quality"}
    | {"clones", "table", "report", "models_folder"}
)
"""Options that are paths, by the last part of their name: `faces` stands for `data.faces`, too.

The entries of `methods`, such as `methods.student`, are also paths.
"""

TABLES = frozenset({"folders", "val_folders", "seeds", "steps", "jobs"})
"""Groups whose entries have names of folders or jobs, and are no paths: `seeds.teacher=1`."""

LISTS = frozenset({"quality"})
"""The path options that may be lists of paths."""


def quoted(value: str) -> str:
    """A text in quotes for Hydra's override grammar; plain paths need no quotes.

    Examples:
        >>> quoted("faces/a.png"), quoted("my faces"), quoted("null")
        ('faces/a.png', "'my faces'", "'null'")
    """
    text = str(value)
    if re.fullmatch(r"[\w.-]*(/[\w.-]+)+", text, re.ASCII):
        return text
    # Backslashes are literal, except before a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{escaped}'"


def with_literal_paths(arguments: Sequence[str]) -> list[str]:
    """The words of a command line, with the values of path options in quotes if necessary.

    Values stay unchanged if Hydra reads them as text, if they are in quotes already, if they are
    `null`, and for sweeps (`out=a,b`) with `-m`. `~` at the start is replaced by the home folder.

    Examples:
        >>> with_literal_paths(["src=My Photos (1)", "dst=out/faces", "steps=5"])
        ["src='My Photos (1)'", 'dst=out/faces', 'steps=5']
    """
    sweeps = any(word in ("-m", "--multirun") for word in arguments)
    return [_literal(word, sweeps) if _is_path_option(word) else word for word in arguments]


def _is_path_option(word: str) -> bool:
    key, equals, value = word.partition("=")
    if not equals or not value or word.startswith(("-", "~")):
        return False
    *groups, last = key.lstrip("+").split(".")
    if groups and groups[-1] in TABLES:
        return False
    return last in PATH_OPTIONS or groups[-1:] == ["methods"]


def _literal(word: str, sweeps: bool) -> str:
    key, _, value = word.partition("=")
    if value.startswith("~"):
        value = str(Path(value).expanduser())
    try:
        parsed = OverridesParser.create().parse_override(f"{key}={value}")
    except HydraException:
        return f"{key}={quoted(value)}"
    if _is_meant(parsed, value, sweeps):
        return f"{key}={value}"
    return f"{key}={quoted(value)}"


def _is_meant(parsed: Override, text: str, sweeps: bool) -> bool:
    """Whether Hydra reads the value as the user means it."""
    if parsed.is_sweep_override():
        return sweeps
    value = parsed._value
    if value is None or isinstance(value, QuotedString) or "${" in text:
        return True
    if isinstance(value, list):
        return (parsed.key_or_group or "").split(".")[-1] in LISTS
    return isinstance(value, str) and (value == text or "\\" in text)
