"""`faceskd studio` as a newcomer runs it: processes of its own, the real network."""

import io
import signal
import subprocess
import sys
import time

import httpx
import pytest
from helpers.postgres import free_port
from helpers.studio import SAME_SITE, restore, upload
from PIL import Image

from faceskd.portraits import render_portrait

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path):
    port = free_port()
    line = [sys.executable, "-m", "faceskd", "studio", "--port", str(port)]
    process = subprocess.Popen(
        [*line, "--storage", str(tmp_path / "storage")], stderr=subprocess.PIPE, text=True
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=SAME_SITE, timeout=30)
    wait(lambda: answers(client))
    yield process, client
    process.kill()


def answers(client):
    try:
        return client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def wait(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_photo_goes_in_and_the_restored_one_comes_out(server):
    process, client = server
    file = io.BytesIO()
    Image.fromarray(render_portrait(1, size=256).image).resize((96, 96)).save(file, "JPEG")
    photo = upload(client, file.getvalue())
    key = restore(client, photo, "photo", options={"scale": 2})
    wait(lambda: client.get(f"/api/v1/jobs/{key}").json()["state"] not in ("queued", "running"))
    job = client.get(f"/api/v1/jobs/{key}").json()
    assert job["state"] == "done", job["error"]
    assert Image.open(io.BytesIO(client.get(job["result"]["file"]).content)).size == (192, 192)
    with client.stream("GET", "/api/v1/events") as events:
        assert next(events.iter_lines()) == "event: hello"
        process.send_signal(signal.SIGTERM)  # an open stream does not keep it
        assert process.wait(60) == 0
    log = process.stderr.read()
    assert "photo.jpg" not in log
    assert '"level": "error"' not in log
    assert not workers(process.pid)


def workers(parent):
    """Worker processes that were left behind."""
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    return [line for line in lines.splitlines() if f"--with-parent {parent}" in line]
