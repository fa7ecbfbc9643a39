"""The storage folder: files under the SHA-256 of their bytes, the same bytes once.

    STORAGE/ab/abcdef...   a file
    STORAGE/incoming/      files that are being written

A file is put in place, and deleted, while its row in the table `files` is locked; so a file that
somebody uploads while somebody else deletes the same bytes is not lost. A process that dies
between the two leaves a file without a row, which `orphans` finds.
"""

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from faceskd.common.errors import FaceskdError
from faceskd.common.files import make_folder
from faceskd.studio.database import Database
from faceskd.studio.errors import DISK_FULL, Refusal, too_large
from faceskd.studio.tables import FILE_COLUMNS, File

CHUNK = 1 << 20
INCOMING = "incoming"

ORPHAN_SECONDS = 3600
"""Younger files without a row may be just being uploaded."""


CHECKED_FILES = 100
"""So many of the newest files are looked for; some of them may be lost."""


@dataclass(frozen=True)
class Incoming:
    """A file that is written, but not yet in its place."""

    path: Path
    sha256: str
    bytes: int


class Storage:
    """The storage folder; see the module.

    Raises:
        FaceskdError: the folder cannot be created or written to.
    """

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder = make_folder(Path(folder).expanduser().absolute())
        self.database = database
        make_folder(self.folder / INCOMING)

    def check(self) -> None:
        """Check that this is the folder of the database.

        Raises:
            FaceskdError: the database names files, and the newest are not here.
        """
        newest = select(File.sha256).order_by(File.created.desc()).limit(CHECKED_FILES)
        with self.database.read() as session:
            names = list(session.scalars(newest))
        if names and not any(self.path(name).exists() for name in names):
            raise FaceskdError(
                f"expected the files that the database names in {str(self.folder)!r}, got a folder "
                "without them; mount it, or correct --storage or --database"
            )

    def path(self, sha256: str) -> Path:
        """Where a file lies."""
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise ValueError(f"expected a SHA-256 in hexadecimal, got {sha256!r}")
        return self.folder / sha256[:2] / sha256

    def receive(self, source: IO[bytes] | bytes, limit: int | None = None) -> Incoming:
        """Write bytes to the folder of incoming files.

        Raises:
            Refusal: more bytes than `limit`, or the disk is full.
        """
        chunks = [source] if isinstance(source, bytes) else iter(lambda: source.read(CHUNK), b"")
        digest, size = hashlib.sha256(), 0
        handle, name = tempfile.mkstemp(dir=self.folder / INCOMING)
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    size += len(chunk)
                    if limit is not None and size > limit:
                        raise too_large(limit)
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            path.unlink(missing_ok=True)
            raise disk_full() from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Incoming(path, digest.hexdigest(), size)

    def keep(self, session: Session, incoming: Incoming) -> str:
        """Put an incoming file in its place, in the transaction that will name it.

        Returns:
            Its SHA-256.

        Raises:
            Refusal: the disk is full.
        """
        self._lock(session, incoming.sha256, incoming.bytes)
        target = self.path(incoming.sha256)
        try:
            if target.exists():
                os.utime(target)
                incoming.path.unlink()
            else:
                target.parent.mkdir(exist_ok=True)
                incoming.path.chmod(0o640)
                incoming.path.replace(target)
        except OSError as error:
            raise disk_full() from error
        return incoming.sha256

    def discard(self, hashes: Iterable[str | None]) -> None:
        """Delete those of some files that nothing names any more; after the commit."""
        for sha256 in {name for name in hashes if name}:
            with self.database.write() as session:
                self._lock(session, sha256, 0)
                if not is_named(session, sha256):
                    self.path(sha256).unlink(missing_ok=True)
                    session.execute(delete(File).where(File.sha256 == sha256))

    def orphans(self) -> Iterator[Path]:
        """Files that nothing names, older than an hour."""
        before = time.time() - ORPHAN_SECONDS
        for path in sorted(self.folder.glob("*/*")):
            try:
                found = path.stat()
            except FileNotFoundError:  # another process put it in its place or deleted it
                continue
            if not stat.S_ISREG(found.st_mode) or found.st_mtime > before:
                continue
            if path.parent.name == INCOMING:
                yield path
            elif len(path.name) == 64:
                with self.database.read() as session:
                    if not is_named(session, path.name):
                        yield path

    def delete_orphans(self) -> list[Path]:
        """Delete all orphans, and rows of files that nothing names.

        Returns:
            What was deleted.
        """
        found = list(self.orphans())
        for path in found:
            if path.parent.name == INCOMING:
                path.unlink(missing_ok=True)
            else:
                self.discard([path.name])
        with self.database.read() as session:
            unnamed = select(File.sha256).where(
                ~exists().where(FILE_COLUMNS[0] == File.sha256),
                *(~exists().where(column == File.sha256) for column in FILE_COLUMNS[1:]),
            )
            rows = list(session.scalars(unnamed))
        self.discard(rows)
        return found

    def _lock(self, session: Session, sha256: str, size: int) -> None:
        values = {"sha256": sha256, "bytes": size}
        row = select(File.sha256).where(File.sha256 == sha256).with_for_update()
        while True:
            self.database.insert_missing(session, File, values)
            if session.scalar(row):
                return  # else it was deleted between the two


def is_named(session: Session, sha256: str) -> bool:
    """Whether a photo or a result names a file."""
    return any(session.scalar(select(exists().where(column == sha256))) for column in FILE_COLUMNS)


def disk_full() -> Refusal:
    """The answer when a file cannot be written."""
    return Refusal(507, "storage_full", DISK_FULL)
