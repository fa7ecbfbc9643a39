"""The stream of events."""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from faceskd.studio.context import WithStudio, WithUser
from faceskd.studio.errors import Refusal
from faceskd.studio.schemas import API

MOST_STREAMS = 30
"""Of one user; a page that is open has one."""

router = APIRouter(prefix=API, tags=["events"])


@router.get("/events", response_class=StreamingResponse)
async def events(studio: WithStudio, user: WithUser) -> StreamingResponse:
    """Server-sent events: `job` and `photo` whenever one changes.

    The data of `job` and `photo` are as in the other answers. `photo-deleted` and `job-deleted`
    have an id. `hello` comes first.
    """
    if studio.hub.count(user.id) >= MOST_STREAMS:
        text = "Too many pages are open at the same time. Close some of them."
        raise Refusal(429, "rate_limited", text, headers={"Retry-After": "60"})
    return StreamingResponse(
        studio.hub.listen(user.id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
