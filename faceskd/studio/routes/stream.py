"""The stream of events."""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from faceskd.studio.context import WithStudio, WithUser
from faceskd.studio.schemas import API

router = APIRouter(prefix=API, tags=["events"])


@router.get("/events", response_class=StreamingResponse)
async def events(studio: WithStudio, user: WithUser) -> StreamingResponse:
    """Server-sent events: `job` and `photo` whenever one changes.

    The data of `job` and `photo` are as in the other answers. `photo-deleted` and `job-deleted`
    have an id. `hello` comes first.
    """
    return StreamingResponse(
        studio.hub.listen(user.id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
