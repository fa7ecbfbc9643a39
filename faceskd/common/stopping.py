"""Stop a command early, with Ctrl-C or SIGTERM, so that it still reports what it did."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

EXIT_STOPPED = 130
"""Exit status of a command that was stopped, the same that shells use for Ctrl-C."""


@contextmanager
def terminating_as_interrupted() -> Iterator[None]:
    """Within the block, SIGTERM raises KeyboardInterrupt, like Ctrl-C.

    Only in the main thread; in other threads Python allows no signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
