"""What tests of the studio share: pictures as files, a browser, a worker with a fake network."""

import io
from pathlib import Path

import numpy as np
import pillow_heif
from fastapi.testclient import TestClient
from PIL import Image

from faceskd.studio.app import create_app
from faceskd.studio.database import Database
from faceskd.studio.settings import Settings
from faceskd.studio.storage import Storage

PASSWORD = "a long password"
SAME_SITE = {"sec-fetch-site": "same-origin"}


def picture(
    width: int = 60, height: int = 40, format: str = "JPEG", seed: int = 0, **save
) -> bytes:
    """A file with a picture of noise."""
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)
    return encoded(Image.fromarray(noise), format, **save)


def encoded(image: Image.Image, format: str, **save) -> bytes:
    """A file with a picture; "HEIF" is written without making Pillow read it."""
    file = io.BytesIO()
    if format == "HEIF":
        pillow_heif.from_pillow(image).save(file, **save)
    else:
        image.save(file, format, **save)
    return file.getvalue()


class FakeRestorer:
    """Takes the place of the network: every LR face becomes a grey one."""

    frame = None

    def __init__(self) -> None:
        self.batches: list[int] = []

    def restore_faces(self, faces):
        self.batches.append(len(faces))
        return np.full((len(faces), 256, 256, 3), 128, np.uint8)

    def photos(self, images, settings):
        from faceskd.restore.photo import RestoredPhoto, put_back

        self.batches.append(len(images))
        return [RestoredPhoto(put_back(image, [], settings), []) for image in images]


class Place:
    """A studio in a folder: its parts, browsers of its users, and a worker."""

    def __init__(self, folder: Path, database: str, **settings) -> None:
        settings = {"storage": folder / "storage", "accounts": True} | settings
        self.settings = Settings(database=database, **settings)
        self.database = Database(self.settings.database_url)
        self.database.migrate()
        self.storage = Storage(self.settings.storage, self.database)
        self.app = create_app(self.settings, self.database)
        self.restorer = FakeRestorer()

    def browser(self, name: str | None = None, **options) -> TestClient:
        """A browser; logged in as a new user if a name is given."""
        usual = {"base_url": "http://testserver", "headers": SAME_SITE, "follow_redirects": False}
        client = TestClient(self.app, **usual | options)
        if name:
            answer = client.post("/api/v1/users", json={"name": name, "password": PASSWORD})
            assert answer.status_code == 201, answer.text
        return client

    def worker(self):
        from faceskd.studio.worker import Worker

        worker = Worker(self.settings, self.database, self.storage)
        worker.restorer = self.restorer
        return worker

    def work(self) -> int:
        """Do all jobs; how many there were."""
        worker, done = self.worker(), 0
        while count := worker.step():
            done += count
        return done

    def close(self) -> None:
        self.database.dispose()


def upload(client: TestClient, data: bytes | None = None, name: str = "photo.jpg", **form) -> str:
    """Upload a photo; its id."""
    data = picture() if data is None else data
    answer = client.post("/api/v1/photos", files={"file": (name, data)}, data=form)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def restore(client: TestClient, photo: str, kind: str = "none", **more) -> str:
    """Queue a job; its id."""
    answer = client.post("/api/v1/jobs", json={"photos": [photo], "kind": kind} | more)
    assert answer.status_code == 201, answer.text
    return answer.json()["items"][0]["id"]


def code(answer) -> str:
    """The code of an error of the API."""
    return answer.json()["error"]["code"]
