"""The database goes away and comes back: a clear page, nothing lost, no restart needed."""

import threading
import time

import pytest
from helpers.postgres import Postgres, is_there
from helpers.studio import Place, code, picture, restore, upload


@pytest.mark.skipif(not is_there(), reason="PostgreSQL is not installed")
def test_a_killed_postgresql_is_said_and_comes_back(tmp_path):
    server = Postgres(durable=True)
    place = Place(tmp_path, server.url)
    client = place.browser("Mina")
    keys = [restore(client, upload(client, picture(seed=seed))) for seed in range(3)]
    worker = place.worker()
    server.kill()
    thread = threading.Thread(target=worker.run)  # begins while the database is away
    thread.start()
    page = client.get("/")
    assert page.status_code == 503
    assert "database cannot be reached" in page.text
    answer = client.get("/api/v1/photos")
    assert (answer.status_code, code(answer)) == (503, "unavailable")
    assert answer.headers["retry-after"]
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    server.start()
    end = time.monotonic() + 60
    while client.get(f"/api/v1/jobs/{keys[-1]}").json().get("state") != "done":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert client.get("/").status_code == 200
    states = {job["state"] for job in client.get("/api/v1/jobs").json()["items"]}
    assert states == {"done"}
    worker.stopping.set()
    thread.join(30)
    place.close()
    server.stop()
