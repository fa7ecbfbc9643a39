"""`faceskd studio`: the server and its worker processes, which are started anew if they die."""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from faceskd.common.processes import usable_cpus
from faceskd.studio.app import create_app
from faceskd.studio.database import Database
from faceskd.studio.settings import PREFIX, Settings
from faceskd.studio.storage import Storage

logger = logging.getLogger(__name__)

RESTART_SECONDS = 1
STOP_SECONDS = 60
"""How long workers may take to finish what they have begun."""


def serve(settings: Settings) -> None:
    """Run server and workers until SIGTERM or SIGINT."""
    database = Database(settings.database_url)
    Storage(settings.storage, database)
    database.migrate()
    app = create_app(settings, database)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=settings.proxies,
        timeout_graceful_shutdown=5,
    )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    logger.info("faceskd studio: http://%s:%s (Ctrl-C stops it)", host, settings.port)
    with running_workers(settings):
        Server(config).run()


class Server(uvicorn.Server):
    """uvicorn's server, which ends event streams as soon as it is to stop.

    uvicorn raises the signal again when it has stopped, which would end this process before its
    workers have finished; here it does not.
    """

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.config.app.state.studio.hub.close()  # type: ignore[union-attr]
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True


@contextmanager
def running_workers(settings: Settings) -> Iterator[None]:
    """Keep `settings.workers` worker processes running within the block."""
    stopping = threading.Event()
    threads = [
        threading.Thread(target=_keep_running, args=(settings, stopping), daemon=True)
        for _ in range(settings.workers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(STOP_SECONDS)


def _keep_running(settings: Settings, stopping: threading.Event) -> None:
    given = settings.model_dump(include={"database", "storage", "model", "device"})
    values = {f"{PREFIX}{name.upper()}": str(value) for name, value in given.items()}
    values["OMP_NUM_THREADS"] = os.environ.get(
        "OMP_NUM_THREADS", str(max(usable_cpus() // settings.workers, 1))
    )
    line = [sys.executable, "-m", "faceskd", "studio", "worker", "--with-parent", str(os.getpid())]
    while not stopping.is_set():
        process = subprocess.Popen(line, env=os.environ | values, start_new_session=True)
        while process.poll() is None and not stopping.wait(0.5):
            pass
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        elif not stopping.is_set():
            logger.error("worker ended", extra={"status": process.returncode})
            stopping.wait(RESTART_SECONDS)
