"""For operators: is it alive, is it ready, metrics; and what restoring costs."""

import hmac

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from sqlalchemy import text

from faceskd.studio import schemas
from faceskd.studio.context import WithStudio, WithUser, address, bearer
from faceskd.studio.cost import cost
from faceskd.studio.errors import Refusal, not_found
from faceskd.studio.settings import is_loopback
from faceskd.studio.storage import INCOMING

router = APIRouter(tags=["operation"])
api = APIRouter(prefix=schemas.API, tags=["operation"])


@router.get("/healthz", response_class=PlainTextResponse)
async def health() -> str:
    """Whether the server runs."""
    return "ok"


@router.get("/readyz", response_class=PlainTextResponse)
def ready(studio: WithStudio) -> str:
    """Whether database and storage can be used."""
    with studio.database.read() as session:
        session.execute(text("SELECT 1"))
    if not (studio.storage.folder / INCOMING).is_dir():
        raise Refusal(503, "unavailable", "The storage folder is missing.")
    return "ok"


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(studio: WithStudio, request: Request) -> Response:
    """Metrics for Prometheus, for loopback and for who sends the metrics token."""
    token = studio.settings.metrics_token
    sent = bearer(request) or ""
    known = bool(token) and hmac.compare_digest(sent.encode(), token.encode())
    if not known and not is_loopback(address(request)):
        raise not_found()
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)


@api.get("/cost")
def show_cost(studio: WithStudio, user: WithUser) -> schemas.Cost:
    """Seconds per photo, and photos per month, measured by the jobs that were done."""
    with studio.database.read() as session:
        return cost(session)
