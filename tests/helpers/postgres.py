"""A PostgreSQL server for tests, in a folder of its own, that can be killed and started again."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

NOT_ROOT = "nobody"


def binary(name: str) -> str | None:
    """The path of a program of PostgreSQL; packages of Debian do not put them on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


def is_there() -> bool:
    """Whether PostgreSQL is installed."""
    return binary("postgres") is not None and binary("initdb") is not None


def wait_for_a_lock(session: Any, seconds: float = 30) -> None:
    """Wait until somebody waits for a lock."""
    from sqlalchemy import text

    end = time.monotonic() + seconds
    while not session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
        assert time.monotonic() < end, "nobody waits for a lock"
        time.sleep(0.01)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Postgres:
    """A server; without `fsync` unless it is to be killed.

    Its folder is none of pytest's, which only their owner may enter.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="faceskd-postgres-"))
        self.port, self.durable = free_port(), durable
        self.process: subprocess.Popen | None = None
        self.as_user: dict = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(self.folder, NOT_ROOT)
            self.as_user = {"user": NOT_ROOT, "extra_groups": []}
        self.run("initdb", "-A", "trust", "-U", "studio", "-E", "UTF8", "-D", "data", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        """Of the database that is always there."""
        return self.url_of("postgres")

    def url_of(self, name: str) -> str:
        return f"postgresql+psycopg://studio@127.0.0.1:{self.port}/{name}"

    def run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            [binary(name), *arguments],
            cwd=self.folder,
            check=True,
            capture_output=True,
            **self.as_user,
        )

    def start(self) -> None:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
        }
        if not self.durable:
            settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [binary("postgres"), "-D", "data", *words],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self.as_user,
            )
        self.wait()

    def wait(self, seconds: float = 60) -> None:
        import psycopg

        address = self.url.replace("+psycopg", "")
        end = time.monotonic() + seconds
        while True:
            try:
                psycopg.connect(address, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def kill(self) -> None:
        """As `kill -9` of the server; its children notice and end."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)  # at once: nobody needs the data any more
            self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)
