"""Leases of a worker: renewed by a thread while the worker is at its jobs."""

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from faceskd.studio.database import is_away
from faceskd.studio.queue import Queue

logger = logging.getLogger(__name__)

EXIT_HUNG = 70
"""The exit status of a worker whose batch took too long."""


@contextmanager
def renewing(
    queue: Queue,
    worker: str,
    jobs: Sequence[str],
    most_seconds: float,
    every: float | None = None,
) -> Iterator[None]:
    """Renew the leases of jobs within the block, every third of a lease or `every` seconds.

    If the block takes more than `most_seconds`, the process ends: nothing else stops a decoder
    that hangs. Its starter starts it anew, and the jobs are taken over.
    """
    over = threading.Event()
    end = time.monotonic() + most_seconds

    def renew() -> None:
        while not over.wait(every or queue.lease.total_seconds() / 3):
            if time.monotonic() > end:
                logger.error("job hangs", extra={"worker": worker, "jobs": list(jobs)})
                os._exit(EXIT_HUNG)
            try:
                queue.renew(worker, jobs)
            except Exception as error:
                if not is_away(error):
                    logger.exception("leases not renewed")

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
