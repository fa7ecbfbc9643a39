"""Server-sent events: what changes in the database is told to the browsers of its owner.

Workers are other processes, maybe on other machines, so changes are found by asking the database.
One task of each server process asks for all its browsers, and only while there are some.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from starlette.concurrency import run_in_threadpool

from faceskd.studio import library, schemas, views
from faceskd.studio.database import Database, is_away
from faceskd.studio.tables import Job, Photo, utcnow

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
QUIET_SECONDS = 15
OVERLAP = timedelta(seconds=10)
"""Clocks differ, and transactions take time: so far back is asked for changes that came late."""

QUEUE_LENGTH = 1000

STREAM_SECONDS = 600
"""After so long a stream ends. The browser asks anew, and is refused if its login has ended."""

Event = tuple[str, str]
"""A name and JSON."""


class Hub:
    """Passes events to the browsers of each user."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._queues: dict[str, set[asyncio.Queue[Event]]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[tuple[str, str], datetime] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closing = asyncio.Event()

    async def listen(self, user_id: str) -> AsyncIterator[bytes]:
        """The event stream of one browser; ends when the server does, or after ten minutes."""
        end = time.monotonic() + STREAM_SECONDS
        queue: asyncio.Queue[Event] = asyncio.Queue(QUEUE_LENGTH)
        self._loop = asyncio.get_running_loop()
        self._queues[user_id].add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll())
        try:
            yield encode("hello", "{}")
            while not self.closing.is_set() and time.monotonic() < end:
                try:
                    event = await asyncio.wait_for(queue.get(), QUIET_SECONDS)
                    yield encode(*event)
                except TimeoutError:
                    yield b": nothing new\n\n"
        finally:
            self._queues[user_id].discard(queue)
            if not self._queues[user_id]:
                del self._queues[user_id]

    def count(self, user_id: str) -> int:
        """How many streams a user has open at this server process."""
        return len(self._queues.get(user_id, ()))

    def tell(self, user_id: str, name: str, data: Any) -> None:
        """Tell the browsers of a user, from any thread."""
        if self._loop is not None:
            text = json.dumps(data)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._put, user_id, (name, text))

    def close(self) -> None:
        """End all streams."""
        self.closing.set()
        for user_id in list(self._queues):
            self._put(user_id, ("bye", "{}"))

    def _put(self, user_id: str, event: Event) -> None:
        for queue in self._queues.get(user_id, ()):
            with contextlib.suppress(asyncio.QueueFull):  # a browser that sleeps reloads later
                queue.put_nowait(event)

    async def _poll(self) -> None:
        since = utcnow()
        self._seen.clear()
        while self._queues:
            await asyncio.sleep(POLL_SECONDS)
            asked = utcnow()
            try:
                found = await run_in_threadpool(self._changes, since - OVERLAP, set(self._queues))
            except Exception as error:
                if not is_away(error):
                    logger.exception("events")
                continue
            since = asked
            for user_id, event in found:
                self._put(user_id, event)

    def _changes(self, since: datetime, users: set[str]) -> list[tuple[str, Event]]:
        with self.database.read() as session:
            photos = self._new(session, Photo, since, users, Photo.direct.is_(False))
            jobs = self._new(session, Job, since, users, library.is_shown())
            shown = views.photos(session, photos)
        found = [
            (row.user_id, ("photo", photo.model_dump_json()))
            for row, photo in zip(photos, shown, strict=True)
        ]
        return found + [
            (job.user_id, ("job", schemas.Job.of(job).model_dump_json())) for job in jobs
        ]

    def _new(self, session: Any, table: Any, since: datetime, users: set[str], *where: Any) -> Any:
        query = select(table).where(table.changed > since, table.user_id.in_(users), *where)
        rows = session.scalars(query.order_by(table.changed)).unique().all()
        new = [row for row in rows if self._seen.get((table.__name__, row.id)) != row.changed]
        self._seen |= {(table.__name__, row.id): row.changed for row in new}
        if len(self._seen) > 10_000:
            self._seen = {key: time for key, time in self._seen.items() if time > since}
        return new


def encode(name: str, data: str) -> bytes:
    """One event as bytes of the stream."""
    return f"event: {name}\ndata: {data}\n\n".encode()
