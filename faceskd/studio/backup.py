"""Backup and restore: one TAR file with all rows as JSON lines and all files.

It holds no SQL, so a backup of SQLite can be restored into PostgreSQL, and the other way round.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select, text
from sqlalchemy.orm import Session

from faceskd.common.errors import FaceskdError
from faceskd.common.files import atomic_path
from faceskd.studio.database import Database
from faceskd.studio.storage import Storage
from faceskd.studio.tables import FILE_COLUMNS, Base, File, Moment

VERSION = "faceskd studio backup 2"
LEFT_OUT = frozenset({"logins", "login_failures"})
"""After a restore everybody logs in again."""

ROWS_AT_ONCE = 500


def back_up(database: Database, storage: Storage, path: Path) -> tuple[int, int]:
    """Write a backup, while the studio runs.

    All rows are of one moment. A file that is deleted meanwhile is missing, and so will be its
    photo after a restore.

    Returns:
        How many rows and files it has.
    """
    rows = files = 0
    with atomic_path(path) as temporary, tarfile.open(temporary, "w") as archive:
        _add(archive, "version", VERSION.encode())
        with database.read() as session:
            if not database.is_sqlite:
                session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            for table in _tables():
                lines = [json.dumps(row) for row in _dump(session, table)]
                rows += len(lines)
                _add(archive, f"tables/{table.name}.jsonl", "\n".join(lines).encode())
            hashes = list(session.scalars(select(File.sha256)))
        for sha256 in hashes:
            if storage.path(sha256).is_file():
                archive.add(storage.path(sha256), f"files/{sha256}")
                files += 1
    return rows, files


def restore(database: Database, storage: Storage, path: Path) -> tuple[int, int]:
    """Fill an empty studio from a backup; its tables must exist.

    Returns:
        How many rows and files there are now.

    Raises:
        FaceskdError: there is no such file, it is no backup, or the studio is not empty.
    """
    if not path.is_file():
        raise FaceskdError(f"expected a backup of faceskd studio, found no file {str(path)!r}")
    rows, files = 0, set()
    try:
        with tarfile.open(path) as archive, database.write() as session:
            if any(session.execute(select(table).limit(1)).first() for table in _tables()):
                raise FaceskdError("expected an empty studio to restore into, got one with data")
            if (found := _read(archive, "version").decode()) != VERSION:
                raise FaceskdError(
                    f"expected a {VERSION!r}, got {found!r}; restore it with the version of "
                    "faceskd that wrote it, then bring that studio up to date"
                )
            for member in archive:
                if member.name.startswith("files/") and (source := archive.extractfile(member)):
                    incoming = storage.receive(source)
                    if incoming.sha256 != member.name.removeprefix("files/"):
                        raise FaceskdError(f"the backup is damaged at {member.name!r}")
                    files.add(storage.keep(session, incoming))
            kept: set[str] = set()
            for table in _tables():
                lines = _read(archive, f"tables/{table.name}.jsonl").splitlines()
                values = [_load(table, json.loads(line)) for line in lines]
                values = [row for row in values if _is_whole(table, row, files, kept)]
                kept |= {row["id"] for row in values if "id" in row}
                if table.name != File.__tablename__ and values:
                    session.execute(table.insert(), values)
                rows += len(values)
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise FaceskdError(f"expected a backup of faceskd studio, got {path.name!r}") from error
    return rows, len(files)


def _tables() -> list[Table]:
    return [table for table in Base.metadata.sorted_tables if table.name not in LEFT_OUT]


def _dump(session: Session, table: Table) -> Iterator[dict[str, Any]]:
    for row in session.execute(select(table).execution_options(yield_per=ROWS_AT_ONCE)):
        yield {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in row._mapping.items()
        }


def _load(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    return {
        column.name: datetime.fromisoformat(row[column.name])
        if isinstance(column.type, Moment) and row[column.name]
        else row[column.name]
        for column in table.columns
    }


def _is_whole(table: Table, row: dict[str, Any], files: set[str], kept: set[str]) -> bool:
    """Whether all that a row names is there: its files, and of a result its job."""
    columns = [column for column in FILE_COLUMNS if column.class_.__table__ is table]
    if any(row[column.key] and row[column.key] not in files for column in columns):
        return False
    photo = row.get("photo_id")
    if photo and photo not in kept:
        return False
    return table.name != "results" or row["job_id"] in kept


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    return file.read() if file else b""
