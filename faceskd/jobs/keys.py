"""The key of a job: a job is done if the same key was completed before."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from faceskd.common.arguments import QUOTE, quoted
from faceskd.common.errors import FacesError
from faceskd.common.files import sha256
from faceskd.common.listing import list_files
from faceskd.data.manifest import MANIFEST, read_manifest

MOST_READ = 2**30
"""Bytes of a folder that are read at most to tell whether its content has changed."""


def job_key(line: str, needs: Mapping[str, str]) -> str:
    """SHA-256 of a command line and of the jobs it needs (name -> `state_of` the job).

    Example:
        >>> key = job_key("faceskd train steps=2", {"faces": "a"})
        >>> key == job_key("faceskd train steps=2", {"faces": "b"})
        False
    """
    return _sha256_of_json([line, dict(needs)])


def state_of(key: str, product: str | None) -> str:
    """SHA-256 of the key and the product of a finished job, for the keys of jobs that need it."""
    return _sha256_of_json([key, product])


def content_digest(path: Path) -> str | None:
    """A text that changes with the content of a file or folder; None if it does not exist.

    It is computed from the SHA-256 of a file, from the SHA-256 of the manifest of a folder of
    prepared faces, and from path and SHA-256 of each file in any other folder. If such a folder has
    more than `MOST_READ` bytes, path, size and modification time of each file are used. Linked
    folders count as `faceskd prepare` reads them.
    """
    if path.is_file():
        return sha256(path)
    if not path.is_dir():
        return None
    if _is_prepared(path):
        return sha256(path / MANIFEST)
    listed = [*path.rglob("*"), *(file.path for file in list_files(path))]
    files = sorted({file for file in listed if file.is_file()})
    stats = [(str(file.relative_to(path)), file.stat()) for file in files]
    if sum(stat.st_size for _, stat in stats) <= MOST_READ:
        return _sha256_of_json([(str(file.relative_to(path)), sha256(file)) for file in files])
    return _sha256_of_json([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def _is_prepared(folder: Path) -> bool:
    """Whether a folder has a manifest of prepared faces, and not just a file with its name."""
    try:
        read_manifest(folder)
    except FacesError:
        return False
    return True


def without_places(override: str, places: Mapping[str, str]) -> str:
    r"""An override with names instead of paths, so that it stays the same if a folder is moved.

    Args:
        override: an argument of a command.
        places: path -> name. These paths, and the start of paths below them, are replaced, with the
            quotes that only some paths need.

    Examples:
        >>> without_places("out=/a/run/x", {"/a/run": "out"})
        'out=\x00out\x00/x'
        >>> without_places("out='/my run/x'", {"/my run": "out"})
        'out=\x00out\x00/x'
        >>> without_places("data=/a/runs", {"/a/run": "out"})
        'data=/a/runs'
    """
    for path in sorted(places, key=len, reverse=True):
        in_quotes = rf"'{re.escape(quoted(path).strip(QUOTE))}(?![\w.-])((?:[^'\\]|\\.)*)'"
        bare = rf"(?<![\w./-]){re.escape(path)}(?![\w.-])"
        name = f"\0{places[path]}\0"
        override = re.sub(in_quotes, lambda found, name=name: name + found[1], override)  # type: ignore[misc]
        override = re.sub(bare, lambda _, name=name: name, override)  # type: ignore[misc]
    return override


def values_without_places(override: str, places: Mapping[str, str]) -> str:
    r"""Like `without_places`, but the name of the option stays, which may be that of a folder.

    Example:
        >>> values_without_places("faces=faces", {"faces": "given"})
        'faces=\x00given\x00'
    """
    option, equals, value = override.partition("=")
    if not equals:
        return without_places(override, places)
    return f"{option}={without_places(value, places)}"


def _sha256_of_json(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
