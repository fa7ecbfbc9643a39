"""Write files atomically: a file is complete or does not exist. Also names of files."""

import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from faceskd.common.errors import ConfigError, FaceskdError, disk_full_as_error

LONGEST_STEM = 200
"""Longest file name in bytes; this leaves space for a number and a suffix."""

UMASK = os.umask(0)
"""Of the process. It is read once, before there are threads: that sets it, for all of them."""
os.umask(UMASK)

_HELD: set[TextIO] = set()


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move the file to `path` if the block succeeds.

    A reader never sees half a file, and a killed process leaves `path` as it was. The temporary
    name has the suffix of `path`, because many writers take the format from it.

    Raises:
        FaceskdError: the folder cannot be created or written to.
        DiskFullError: the disk is full; `path` stays as it was.

    Examples:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    make_folder(path.parent)
    with disk_full_as_error(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~UMASK)  # mkstemp makes files private
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def printable(name: str) -> str:
    r"""A file name as valid text: bytes that are not UTF-8 become %XX.

    Examples:
        >>> printable("m\udcfcller.png"), printable("Müller.png")
        ('m%FCller.png', 'Müller.png')
    """
    return re.sub(r"[\ud800-\udfff]", lambda found: f"%{ord(found[0]) & 0xFF:02X}", name)


def fitting(name: str) -> str:
    """A relative path whose file name is cut if it is too long to add a suffix.

    File systems allow 255 bytes. A part of the hash of the whole name keeps cut names different.

    Examples:
        >>> fitting("a/b"), len(fitting("a/" + "b" * 300))
        ('a/b', 202)
    """
    folder, slash, last = name.rpartition("/")
    if len(last.encode()) <= LONGEST_STEM:
        return name
    digest = hashlib.sha256(last.encode()).hexdigest()[:8]
    return f"{folder}{slash}{last.encode()[: LONGEST_STEM - 9].decode(errors='ignore')}-{digest}"


def make_folder(path: Path | str) -> Path:
    """Create a folder and check that files can be written to it, before work is lost.

    Raises:
        FaceskdError: the folder cannot be created or written to.
    """
    path = Path(path)
    try:
        with disk_full_as_error(path):
            path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError("permission denied")
    except OSError as error:
        reason = error.strerror or error
        raise FaceskdError(f"cannot write to the folder {str(path)!r}: {reason}") from error
    return path


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def held(path: Path | str, on_busy: Callable[[], None]) -> Iterator[None]:
    """Within the block, no other process holds this file.

    The system releases the file when the process ends, for any reason. Processes that it forked
    within the block do not hold the file.

    Args:
        path: a file; it is created, and stays.
        on_busy: called where another process holds it, before waiting for it; it may raise instead.
    """
    with Path(path).open("w") as file:
        _HELD.add(file)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_busy()
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            _HELD.discard(file)


def _let_go() -> None:
    """Close the files of the parent in a forked process, which may outlive a killed parent."""
    for file in _HELD:
        file.close()
    _HELD.clear()


os.register_at_fork(after_in_child=_let_go)


def check_no_folder(**paths: Path | str) -> None:
    """Raise a ConfigError if a path where a file will be written is a folder.

    Examples:
        >>> check_no_folder(out="/")
        Traceback (most recent call last):
        ...
        faceskd.common.errors.ConfigError: expected out as a file to write, got the folder '/'
    """
    for name, path in paths.items():
        if Path(path).is_dir():
            raise ConfigError(f"expected {name} as a file to write, got the folder {str(path)!r}")
