"""Restore a small photo and answer with the result."""

import asyncio
import contextlib
import json
import time
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import Response
from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool

from faceskd.studio import library, removal
from faceskd.studio.context import Studio, WithStudio, WithUser
from faceskd.studio.errors import Refusal
from faceskd.studio.formats import MEDIA
from faceskd.studio.problems import Problem
from faceskd.studio.routes.jobs import find
from faceskd.studio.schemas import API
from faceskd.studio.tables import DONE, OPEN, Job, User

router = APIRouter(prefix=API, tags=["restore"])

LOOK_SECONDS = 0.1
OPTIONS = 'Options as JSON, such as `{"scale": 2}`.'


@router.post("/restore", response_class=Response)
async def restore(
    studio: WithStudio,
    user: WithUser,
    file: Annotated[UploadFile, File(description="A photo of at most 4 megapixels.")],
    kind: Annotated[str, Form(max_length=32)] = "photo",
    options: Annotated[str, Form(max_length=2000, description=OPTIONS)] = "{}",
) -> Response:
    """Restore a small photo; the answer is the restored photo. Nothing of it is kept."""
    try:
        chosen = json.loads(options)
    except (ValueError, RecursionError):
        chosen = None
    if not isinstance(chosen, dict):
        raise Refusal(422, "invalid", "The options must be a JSON object.")
    photo, job = await run_in_threadpool(_start, studio, user, file, kind, chosen)
    try:
        end = time.monotonic() + studio.settings.direct_seconds
        while (row := await run_in_threadpool(find, studio, user, job)).state in OPEN:
            if time.monotonic() > end:
                text = "No worker had time for the photo. Try again later, or upload it."
                raise Refusal(504, "timeout", text)
            await asyncio.sleep(LOOK_SECONDS)
        if row.state != DONE or row.result is None:
            raise _refusal(row)
        data = await run_in_threadpool(studio.storage.path(row.result.file).read_bytes)
        return Response(data, media_type=MEDIA[row.result.format])
    finally:
        await run_in_threadpool(_remove, studio, user, photo)


def _start(
    studio: Studio, user: User, file: UploadFile, kind: str, options: dict[str, Any]
) -> tuple[str, str]:
    """Keep the photo and queue its job; their ids."""
    parts = studio.database, studio.storage, studio.settings
    photo = library.add_photo(*parts, user, file.file, file.filename, direct=True)
    try:
        (job,) = library.add_jobs(
            studio.database, studio.settings, user, [photo.id], kind, options, priority=5
        )
    except Refusal:
        _remove(studio, user, photo.id)
        raise
    return photo.id, job.id


def _refusal(job: Job) -> Refusal:
    """Why a job has no result."""
    if job.error is None:
        return Refusal(409, "conflict", "The job was cancelled.")
    problem = Problem.from_stored(job.error)
    return Refusal(422, problem.code, problem.text, **problem.values)


def _remove(studio: Studio, user: User, photo: str) -> None:
    """Delete photo and job; what a dying server leaves is deleted by the workers after a day."""
    with contextlib.suppress(DBAPIError):
        removal.delete_photos(studio.database, studio.storage, user, [photo])
