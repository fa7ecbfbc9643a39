"""Paths on the command line, read literally.

Hydra's grammar reads `src=My Photos (1)` as a function, `src=a,b` as a sweep and `src=2024` as a
number. For options that are paths, the user means the text itself.
"""

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException

PATH_OPTIONS = (
    # Options of whole commands, by name.
    *("src", "dst", "out", "faces", "photos", "second", "clones", "table", "report", "split_file"),
    *("weights", "init", "refine", "a", "b", "dictionary", "teacher_dictionary", "extend", "like"),
    *("face_model", "calibration", "quality", "models_folder", "page"),
    *("bad_photos", "scenes", "drawings"),
    # Options of groups.
    *("methods.*", "data.faces", "data.a", "data.b", "data.val_a", "data.val_b", "data.real"),
    *("data.folders.*.path", "data.val_folders.*.path", "data.degradation.pools"),
    *("degradation.pools", "model.dictionary", "engine.teacher", "engine.old_vae"),
    *("engine.clean_vae", "engine.back_init", "landmarks.weights", "budget.encoder_weights"),
    *("encoder.weights", "*.encoder.weights", "*.vgg.weights", "engine.target.weights"),
    *("hydra.run.dir", "hydra.sweep.dir"),
)
"""Options that are paths; `*` stands for any text."""

LISTS = frozenset({"quality", "engine.teacher"})
"""The path options that may be lists of paths."""


QUOTE = "'"


def quoted(value: str | None) -> str:
    """A text in quotes for Hydra's override grammar; plain paths need no quotes. None is null.

    Examples:
        >>> quoted("faces/a.png"), quoted("my faces"), quoted("null"), quoted(None)
        ('faces/a.png', "'my faces'", "'null'", 'null')
    """
    if value is None:
        return "null"
    text = str(value)
    if re.fullmatch(r"[\w.-]*(/[\w.-]+)+", text, re.ASCII):
        return text
    # Backslashes are literal, except before a quote.
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), text)
    return f"'{escaped}'"


def expanded(path: str) -> str:
    """The path with the home folder for `~`; one of an unknown user, as `~ann`, stays as it is."""
    return os.path.expanduser(path)  # noqa: PTH111 - that of Path raises an error


def with_literal_paths(arguments: Sequence[str]) -> list[str]:
    """The words of a command line, with the values of path options in quotes if necessary.

    Values stay unchanged if Hydra reads them as text, if they are in quotes already, if they are
    `null`, and for sweeps (`out=a,b`) with `-m`. `~` at the start is replaced by the home folder.
    Slashes at the end, which shells add to folders, are left out: one folder is one text.

    Examples:
        >>> with_literal_paths(["src=My Photos (1)", "dst=out/faces/", "steps=5"])
        ["src='My Photos (1)'", 'dst=out/faces', 'steps=5']
    """
    sweeps = any(word in ("-m", "--multirun") for word in arguments)
    return [_literal(word, sweeps) if _is_path_option(word) else word for word in arguments]


def _is_path_option(word: str) -> bool:
    key, equals, value = word.partition("=")
    if not equals or not value or word.startswith(("-", "~")):
        return False
    return any(fnmatchcase(key.lstrip("+"), pattern) for pattern in PATH_OPTIONS)


def _literal(word: str, sweeps: bool) -> str:
    key, _, value = word.partition("=")
    value = expanded(value).rstrip("/") or "/"
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
        return parsed.key_or_group in LISTS
    return isinstance(value, str) and (value == text or "\\" in text)
