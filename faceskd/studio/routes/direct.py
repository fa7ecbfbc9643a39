"""Restore a small photo and answer with the result."""

import json
import time
from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile
from fastapi.responses import Response

from faceskd.studio import library, queue
from faceskd.studio.context import WithStudio, WithUser
from faceskd.studio.errors import Refusal
from faceskd.studio.formats import MEDIA
from faceskd.studio.routes.jobs import find
from faceskd.studio.tables import DONE, OPEN, Job

router = APIRouter(tags=["restore"])

LOOK_SECONDS = 0.1
OPTIONS = 'Options as JSON, such as `{"scale": 2}`.'


@router.post("/restore", response_class=Response)
def restore(
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
    parts = studio.database, studio.storage, studio.settings
    photo = library.add_photo(*parts, user, file.file, file.filename, direct=True)
    try:
        (job,) = library.add_jobs(
            studio.database, studio.settings, user, [photo.id], kind, chosen, priority=5
        )
        end = time.monotonic() + studio.settings.direct_seconds
        while (row := find(studio, user, job.id)).state in OPEN:
            if time.monotonic() > end:
                with studio.database.write() as session:
                    queue.cancel(session, session.get_one(Job, job.id))
                text = "No worker had time for the photo. Try again later, or upload it."
                raise Refusal(504, "timeout", text)
            time.sleep(LOOK_SECONDS)
        if row.state != DONE or row.result is None:
            text = "The photo cannot be restored: {reason}"
            raise Refusal(422, "invalid", text, reason=row.error or row.state)
        data = studio.storage.path(row.result.file).read_bytes()
        return Response(data, media_type=MEDIA[row.result.format])
    finally:
        library.delete_photos(studio.database, studio.storage, user, [photo.id])
