"""The key of a job: it tells whether what was done is what is now asked for."""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from faceskd.common.files import sha256
from faceskd.data.manifest import MANIFEST


def job_key(line: str, needs: Mapping[str, str]) -> str:
    """SHA-256 of a command line and of what the job needs: name -> `state_of` that job.

    Example:
        >>> key = job_key("faceskd train steps=2", {"faces": "a"})
        >>> key == job_key("faceskd train steps=2", {"faces": "b"})
        False
    """
    return _sha256_of_json([line, dict(needs)])


def state_of(key: str, product: str | None) -> str:
    """SHA-256 of a done job for those that need it: its key, and what it made."""
    return _sha256_of_json([key, product])


def content_digest(path: Path) -> str | None:
    """A text that changes with the content of a file or folder; None where there is nothing.

    Of a file the SHA-256 counts, of a folder of prepared faces that of its manifest, and of any
    other folder the path, size and time of change of each file.
    """
    manifest = path / MANIFEST
    if path.is_file() or manifest.is_file():
        return sha256(path if path.is_file() else manifest)
    if not path.is_dir():
        return None
    files = sorted(file for file in path.rglob("*") if file.is_file())
    stats = [(str(file.relative_to(path)), file.stat()) for file in files]
    return _sha256_of_json([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def without_places(line: str, places: Mapping[str, str]) -> str:
    r"""A command line with names instead of paths: it is the same where a folder was moved.

    Args:
        line: the command line.
        places: path -> name. The parts of a line that are such a path, or lie below it, change.

    Example:
        >>> without_places("train out=/a/run/x data=/a/runs", {"/a/run": "out"})
        'train out=\x00out\x00/x data=/a/runs'
    """
    for path in sorted(places, key=len, reverse=True):
        whole = rf"(?<![\w./-]){re.escape(path)}(?![\w.-])"
        line = re.sub(whole, lambda _, name=places[path]: f"\0{name}\0", line)  # type: ignore[misc]
    return line


def _sha256_of_json(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
