"""Server, workers and database are killed at random moments: every job has one result.

It sends 6 jobs and kills twice. `FACESKD_CHAOS="500 20 11"` gives other numbers of jobs and kills,
and the mean seconds between kills. It is part of `make test-all`; CI runs `make test`, without it.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from helpers.postgres import Postgres, free_port, is_there
from helpers.studio import PASSWORD, SAME_SITE, picture
from sqlalchemy import func, select

from faceskd.common.files import sha256
from faceskd.studio.database import Database
from faceskd.studio.settings import Settings
from faceskd.studio.storage import Storage
from faceskd.studio.tables import DONE, IMPORT, OPEN, File, Job, Photo, Result

JOBS, KILLS, PAUSE = map(int, os.environ.get("FACESKD_CHAOS", "6 2 2").split())
SEED = 20261129
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_there(), reason="PostgreSQL is not installed"),
]


class Program:
    """A process that is killed and started again."""

    def __init__(self, environment, log, *words):
        self.environment, self.log, self.words = environment, log, words
        self.start()

    def start(self):
        line = [sys.executable, "-m", "faceskd", "studio", *self.words]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(line, env=self.environment, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Client:
    """Somebody who sends everything again until it is answered."""

    def __init__(self, url):
        self.http = httpx.Client(base_url=url, headers=SAME_SITE, timeout=20)
        self.again = 0

    def ask(self, method, path, statuses=(200, 201), seconds=180, **more):
        end = time.monotonic() + seconds
        while True:
            try:
                answer = self.http.request(method, path, **more)
                if answer.status_code in statuses:
                    return answer.json()
                assert answer.status_code == 503, answer.text
            except httpx.TransportError:
                pass
            assert time.monotonic() < end, f"no answer to {method} {path}"
            self.again += 1
            time.sleep(0.2)

    def send(self, number):
        data = picture(32, 24, seed=number)
        key = {"Idempotency-Key": f"photo {number}"}
        files = {"file": (f"{number}.jpg", data)}
        photo = self.ask("POST", "/api/v1/photos", files=files, headers=key)["id"]
        body = {"photos": [photo], "kind": "none"}
        self.ask("POST", "/api/v1/jobs", json=body, headers={"Idempotency-Key": f"job {number}"})


@pytest.fixture
def parts(tmp_path):
    folder = tmp_path
    database = Postgres(durable=True)
    port = free_port()
    environment = os.environ | {
        "FACESKD_STUDIO_DATABASE": database.url,
        "FACESKD_STUDIO_STORAGE": str(folder / "storage"),
        "FACESKD_STUDIO_LEASE_SECONDS": "5",
        "FACESKD_STUDIO_ACCOUNTS": "true",
        "FACESKD_STUDIO_JOBS_PER_USER": "100000",
    }
    log = folder / "log"
    programs = {
        "server": Program(environment, log, "--workers", "0", "--port", str(port)),
        "worker 1": Program(environment, log, "worker"),
        "database": database,
        "worker 2": Program(environment, log, "worker"),
    }
    yield programs, Client(f"http://127.0.0.1:{port}"), folder
    for program in programs.values():
        if program.process.poll() is None:
            program.kill()
    database.stop()


def test_every_job_has_one_result_whatever_is_killed(parts):
    programs, client, folder = parts
    names = list(programs)
    chance = random.Random(SEED)
    account = {"name": "Mina", "password": PASSWORD}
    client.ask("POST", "/api/v1/users", statuses=(201, 409), json=account)
    client.ask("POST", "/api/v1/session", json=account)
    database = Database(programs["database"].url)
    began, killed = time.monotonic(), []

    def send():
        pace = random.Random(SEED + 1)
        for number in range(JOBS):
            client.send(number)
            time.sleep(pace.uniform(0, 2 * KILLS * PAUSE / JOBS))

    sender = threading.Thread(target=send)
    sender.start()
    for number in range(KILLS):
        time.sleep(chance.uniform(0, 2 * PAUSE))
        name = names[number % 4] if KILLS < 8 else chance.choice(names)
        programs[name].kill()
        killed.append(name)
        time.sleep(chance.uniform(0, 1))
        programs[name].start()
    sender.join()
    end = time.monotonic() + 600
    while (done := count_done(database)) < JOBS or count_open(database):
        assert time.monotonic() < end, f"{done} of {JOBS}"
        time.sleep(0.5)
    report = {"jobs": JOBS, "kills": killed, "seconds": round(time.monotonic() - began)}
    report["sent again"] = client.again
    check(database, Settings(storage=folder / "storage"), report)
    Path(os.environ.get("FACESKD_CHAOS_REPORT", folder / "report.json")).write_text(
        json.dumps(report)
    )
    database.dispose()


def count_done(database):
    with database.read() as session:
        done = select(func.count(Job.id)).where(Job.state == DONE, Job.kind != IMPORT)
        return session.scalar(done)


def count_open(database):
    with database.read() as session:
        return session.scalar(select(func.count(Job.id)).where(Job.state.in_(OPEN)))


def check(database, settings, report):
    storage = Storage(settings.storage, database)
    with database.read() as session:
        photos = session.scalars(select(Photo)).all()
        jobs = session.scalars(select(Job).where(Job.kind != IMPORT)).unique().all()
        assert sorted(photo.name for photo in photos) == sorted(f"{n}.jpg" for n in range(JOBS))
        assert {job.photo_id for job in jobs} == {photo.id for photo in photos}
        assert len(jobs) == JOBS  # no job twice
        assert session.scalar(select(func.count(Result.job_id))) == JOBS
        originals = {photo.id: photo.file for photo in photos}
        assert all(job.result.file == originals[job.photo_id] for job in jobs)
        assert {photo.state for photo in photos} == {"ready"}
        for name in session.scalars(select(File.sha256)):
            assert sha256(storage.path(name)) == name  # no file lost or torn
        report["attempts"] = max(job.attempts for job in jobs)
        report["taken over"] = sum(job.attempts > 1 for job in jobs)
