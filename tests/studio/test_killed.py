"""Workers on SQLite are killed with `kill -9`: nothing is lost, and no result is there twice.

The workers are processes of their own, forked so that they start at once. `test_chaos.py` does the
same with PostgreSQL, whole programs and random moments.
"""

import multiprocessing
import os
import random
import signal
import time

import pytest
from helpers.studio import FakeRestorer, picture, restore, upload
from sqlalchemy import func, select, text

from faceskd.common.files import sha256
from faceskd.studio.database import Database
from faceskd.studio.queue import Queue
from faceskd.studio.storage import Storage
from faceskd.studio.tables import IMPORT, File, Job, Photo, Result
from faceskd.studio.worker import Worker

PHOTOS = 2
SEED = 20261129


@pytest.fixture
def place(places):
    return places(lease_seconds=0.2, attempts=100, batch=2)


@pytest.fixture
def client(place):
    """A user whose photos and jobs wait."""
    client = place.browser("Mina")
    for seed in range(PHOTOS):
        restore(client, upload(client, picture(seed=seed)), "photo")
    return client


def start(settings, die_at=None):
    """A worker in a process of its own, which may kill itself at a moment of its work."""

    def work():
        database = Database(settings.database_url)
        worker = Worker(settings, database, Storage(settings.storage, database))
        worker.restorer = FakeRestorer()
        if die_at is not None:
            die_at()
        while worker.step():
            pass

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def kill_after(owner, name, calls=1):
    """The process kills itself when a method was called so often."""
    inner, left = getattr(owner, name), [calls]

    def call(*arguments, **more):
        result = inner(*arguments, **more)
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, call)


MOMENTS = {
    "jobs are claimed": (Queue, "claim"),
    "photos are restored": (FakeRestorer, "photos"),
    "files are written": (Storage, "receive", 4),
    "a file is in its place, and its row not committed": (Storage, "keep", 3),
    "a job is done": (Queue, "finish"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_that_dies_at_this_moment_loses_nothing(place, client, moment):
    dying = start(place.settings, lambda: kill_after(*MOMENTS[moment]))
    dying.join(30)
    assert dying.exitcode == -signal.SIGKILL
    finish(place)
    check(place, client)


def test_workers_that_die_at_random_moments_lose_nothing(place, client):
    chance = random.Random(SEED)
    for _ in range(6):
        worker = start(place.settings)
        time.sleep(chance.uniform(0, 0.1))
        worker.kill()
        worker.join()
    finish(place)
    check(place, client)


def finish(place):
    """A worker that lives does the rest, once the leases of the dead have run out."""
    end = time.monotonic() + 60
    while count(place, Job, Job.state.in_(("queued", "running"))):
        assert time.monotonic() < end
        place.work()
        time.sleep(0.02)


def count(place, table, *where):
    with place.database.read() as session:
        return session.scalar(select(func.count()).select_from(table).where(*where))


def check(place, client):
    photos = client.get("/api/v1/photos").json()["items"]
    assert len(photos) == PHOTOS
    assert {photo["state"] for photo in photos} == {"ready"}
    assert {photo["job"]["state"] for photo in photos} == {"done"}
    assert count(place, Job, Job.kind != IMPORT) == count(place, Result) == PHOTOS
    for photo in photos:
        for url in (photo["thumbnail"], photo["job"]["result"]["file"]):
            assert client.get(url).status_code == 200
    with place.database.read() as session:
        assert session.scalar(text("PRAGMA integrity_check")) == "ok"
        names = set(session.scalars(select(File.sha256)))
        assert set(session.scalars(select(Photo.file))) <= names
    for name in names:
        assert sha256(place.storage.path(name)) == name
