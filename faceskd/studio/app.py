"""The web application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from faceskd.common.version import __version__
from faceskd.studio import answers, context, schemas
from faceskd.studio.database import Database
from faceskd.studio.events import Hub
from faceskd.studio.limits import RateLimit
from faceskd.studio.metrics import MeasureRequests, Metrics
from faceskd.studio.rendering import STATIC, Static
from faceskd.studio.routes import (
    account,
    albums,
    direct,
    forms,
    jobs,
    operation,
    pages,
    photos,
    stream,
)
from faceskd.studio.security import FORM_BYTES, Security
from faceskd.studio.settings import Settings
from faceskd.studio.storage import Storage

ANSWERS: dict[int | str, dict] = {
    status: {"model": schemas.Error, "description": text}
    for status, text in {
        400: "The request cannot be read.",
        401: "Nobody is logged in, or the access token is not valid.",
        403: "Not allowed.",
        404: "There is no such thing, or it belongs to somebody else.",
        409: "Not possible in its present state.",
        413: "Too large, or your storage is full.",
        415: "Not a photo that can be read.",
        422: "A value that cannot be.",
        429: "Too many requests, jobs or wrong passwords; see Retry-After.",
        503: "The database cannot be reached; try again.",
        504: "No worker had time.",
        507: "The server's disk is full.",
    }.items()
}
DESCRIPTION = (
    "Restore faces in photos. Send a personal access token, which the page Account makes, as "
    "`Authorization: Bearer TOKEN`."
)


def create_app(settings: Settings, database: Database | None = None) -> FastAPI:
    """The application.

    Args:
        settings: of the studio.
        database: an open one; by default the settings' is opened. Its tables must exist.
    """
    database = database or Database(settings.database_url)
    hub = Hub(database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        hub.close()
        database.dispose()

    app = FastAPI(
        title="faceskd studio",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{schemas.API}/openapi.json",
        lifespan=lifespan,
        form_limits={"max_files": 200, "max_fields": 50, "max_part_size": 10_000},
    )
    app.state.studio = context.Studio(
        settings,
        database,
        Storage(settings.storage, database),
        hub,
        RateLimit(settings.requests_per_minute, 60),
        RateLimit(settings.sign_ups_per_hour, 3600),
    )
    app.state.metrics = Metrics(database)
    for part in (account, albums, photos, jobs, stream, direct):
        app.include_router(part.router, responses=ANSWERS)
    app.include_router(operation.api, responses=ANSWERS)
    app.include_router(operation.router)
    app.include_router(pages.router)
    app.include_router(forms.router)
    app.mount("/static", Static(directory=STATIC), name="static")
    answers.install(app)
    limit = settings.max_bytes
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=limit + FORM_BYTES)
    app.add_middleware(
        Security,
        hosts=settings.hosts,
        max_bytes=limit,
        expect_user=context.expect_user,
        refuse=answers.refused,
    )
    app.add_middleware(MeasureRequests, metrics=app.state.metrics)
    return app
