"""A studio that browsers can reach: server and worker as threads, and a fake network."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import uvicorn
from PIL import Image, ImageDraw

from faceskd.common.errors import ImageError
from faceskd.restore.photo import PhotoSettings, RestoredPhoto, put_back
from faceskd.studio.app import create_app
from faceskd.studio.database import Database
from faceskd.studio.settings import Settings
from faceskd.studio.storage import Storage
from faceskd.studio.worker import Worker
from helpers.studio import encoded

PASSWORD = "correct horse battery"


class Network:
    """Stands in for the restorer. `gate` holds its work up; `refusals` lets so many jobs fail."""

    frame = None

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.refusals = 0

    def photos(self, images: list[np.ndarray], settings: PhotoSettings) -> list[RestoredPhoto]:
        """Photos, enlarged; the first "face" restored, the second left."""
        self._wait()
        return [
            RestoredPhoto(255 - put_back(image, [], settings), self._faces(image))
            for image in images
        ]

    def restore_faces(self, faces: list[np.ndarray]) -> np.ndarray:
        """The negative of each face, 256 px: no pixel of it is the cover's."""
        self._wait()
        return np.stack([np.kron(255 - face, np.ones((8, 8, 1), np.uint8)) for face in faces])

    def _wait(self) -> None:
        self.gate.wait(30)
        if self.refusals:
            self.refusals -= 1
            raise ImageError("the network has a cold")

    @staticmethod
    def _faces(image: np.ndarray) -> list[Any]:
        height, width = image.shape[:2]
        size = np.array([width, height, width, height])
        return [
            SimpleNamespace(
                box=size * (0.1, 0.1, 0.4, 0.5), status="ok", addition=True, message=""
            ),
            SimpleNamespace(
                box=size * (0.6, 0.2, 0.8, 0.5), status="kept", addition=None, message="sharp"
            ),
        ]


class LiveStudio:
    """A running studio.

    Args:
        folder: for its files.
        settings: of the studio.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(storage=folder / "storage", **settings)
        self.database = Database(self.settings.database_url)
        self.database.migrate()
        storage = Storage(self.settings.storage, self.database)
        self.network = Network()
        self.worker = Worker(self.settings, self.database, storage)
        self.worker.__dict__["restorer"] = self.network
        self.app = create_app(self.settings, self.database)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # what comes before the server runs waits
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(self.app, log_level="error", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.threads = [
            threading.Thread(target=self.server.run, args=([listening],)),
            threading.Thread(target=self.worker.run),
        ]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Stop server and worker."""
        self.network.gate.set()
        self.worker.stopping.set()
        self.app.state.studio.hub.close()
        self.server.should_exit = True
        for thread in self.threads:
            thread.join(20)


def portrait(
    width: int = 120, height: int = 90, hue: int = 0, format: str = "PNG", **save: Any
) -> bytes:
    """A file with a drawn head, of another colour for each `hue`."""
    image = Image.new("HSV", (width, height), (hue % 256, 90, 200)).convert("RGB")
    draw = ImageDraw.Draw(image)
    box = (0.25 * width, 0.1 * height, 0.75 * width, 0.95 * height)
    draw.ellipse(box, fill=(235, 200, 175))
    for x in (0.4, 0.6):
        draw.ellipse(
            ((x - 0.04) * width, 0.4 * height, (x + 0.04) * width, 0.5 * height), fill=(40, 30, 30)
        )
    return encoded(image, format, **save)


def send(page: Any, method: str, path: str, data: object = None) -> Any:
    """A request to the API, by the user of a page."""
    headers = {"sec-fetch-site": "same-origin"}
    return page.request.fetch(f"/api/v1{path}", method=method, data=data, headers=headers)


def add_photo(
    page: Any, name: str = "head.png", content: bytes | None = None, album: str = ""
) -> str:
    """Upload by the API and wait until it is decoded; the photo's id."""
    file = {"name": name, "mimeType": "image/png", "buffer": content or portrait()}
    answer = page.request.post(
        "/api/v1/photos",
        multipart={"file": file} | ({"album_id": album} if album else {}),
        headers={"sec-fetch-site": "same-origin"},
    )
    assert answer.status == 201, answer.text()
    photo = answer.json()["id"]
    until(lambda: send(page, "GET", f"/photos/{photo}").json()["state"] != "new", page)
    return photo


def add_album(page: Any, name: str = "Holidays") -> str:
    """Create an album; its id."""
    return send(page, "POST", "/albums", {"name": name}).json()["id"]


def restored(page: Any, photo: str, kind: str = "photo", **more: object) -> dict:
    """Restore a photo by the API; the finished job."""
    body = {"photos": [photo], "kind": kind} | more
    job = send(page, "POST", "/jobs", body).json()["items"][0]["id"]
    until(lambda: send(page, "GET", f"/jobs/{job}").json()["state"] == "done", page)
    return send(page, "GET", f"/jobs/{job}").json()


def until(condition: Callable[[], bool], page: Any, seconds: float = 60) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        page.wait_for_timeout(50)


@contextlib.contextmanager
def held(studio: LiveStudio) -> Iterator[None]:
    """The network does nothing within the block."""
    studio.network.gate.clear()
    try:
        yield
    finally:
        studio.network.gate.set()
