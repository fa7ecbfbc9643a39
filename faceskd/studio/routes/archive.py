"""ZIP files that are made while they are sent, so that an album of any size needs no room."""

import io
import time
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi.responses import StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from faceskd.studio.routes.files import result_name
from faceskd.studio.storage import CHUNK, Storage
from faceskd.studio.tables import DONE, IMPORT, Job, Photo, User

Files = list[tuple[str, Path]]


def album_files(
    session: Session, storage: Storage, user: User, album_id: str | None, results: bool
) -> Files:
    """Names and paths of an album's photos, or of all photos, or of their newest results."""
    where = [Photo.user_id == user.id, Photo.direct.is_(False)]
    if album_id is not None:
        where.append(Photo.album_id == album_id)
    photos = session.scalars(select(Photo).where(*where).order_by(Photo.created, Photo.id)).all()
    if not results:
        return _unique((photo.name, storage.path(photo.file)) for photo in photos)
    query = (
        select(Job)
        .join(Photo, Photo.id == Job.photo_id)
        .where(*where, Job.state == DONE, Job.kind != IMPORT, Job.crop.is_(None))
        .order_by(Job.finished)
    )
    newest = {job.photo_id: job for job in session.scalars(query).unique() if job.result}
    return _unique(
        (result_name(photo.name, job.result.format), storage.path(job.result.file))
        for photo in photos
        if (job := newest.get(photo.id)) and job.result
    )


def zip_stream(files: Files, name: str) -> StreamingResponse:
    """The answer: a ZIP file of some files."""
    quoted = quote(f"{name}.zip", safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quoted}"}
    return StreamingResponse(zip_chunks(files), media_type="application/zip", headers=headers)


def zip_chunks(files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """The bytes of a ZIP file, uncompressed: photos are compressed already.

    A file that was deleted meanwhile is left out.
    """
    buffer = _Buffer()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files:
            try:
                source = path.open("rb")
            except FileNotFoundError:
                continue
            with source, archive.open(_entry(name), "w", force_zip64=True) as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    yield buffer.take()
            yield buffer.take()
    yield buffer.take()


def _entry(name: str) -> zipfile.ZipInfo:
    """A file in the archive, of now; `zipfile` would say 1980."""
    return zipfile.ZipInfo(name, time.localtime()[:6])


class _Buffer(io.RawIOBase):
    """What `zipfile` writes to; it cannot seek, and is emptied by `take`."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken


def _unique(files: Iterable[tuple[str, Path]]) -> Files:
    """Two photos may have the same name; in a ZIP file the second gets a number."""
    seen: set[str] = set()
    numbers: dict[str, int] = {}  # the last one given to a name
    result = []
    for name, path in files:
        stem, dot, suffix = name.rpartition(".")
        stem, suffix = (stem, dot + suffix) if dot else (name, "")
        number, unique = numbers.get(name.lower(), 1), name
        while unique.lower() in seen:
            number += 1
            unique = f"{stem} ({number}){suffix}"
        numbers[name.lower()] = number
        seen.add(unique.lower())
        result.append((unique, path))
    return result
