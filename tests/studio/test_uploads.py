"""Uploads that are no photos, or are meant to harm: a clear message, and nothing is lost."""

import struct
import zlib

import pytest
from helpers.studio import Place, code, picture, restore, upload


def state(client, photo):
    shown = client.get(f"/api/v1/photos/{photo}").json()
    return shown["state"], shown["error"] and shown["error"]["code"]


def png(width, height, data=b""):
    """A PNG file that says it has so many pixels."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("photo.svg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("photo.jpg", b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"),
        ("photo.jpg", b"<html><script>alert(1)</script></html>"),
        ("photo.jpg", b"#!/bin/sh\nid\n"),
        ("photo.png", b"PK\x03\x04" + bytes(100)),
        ("photo.jpg", b""),
        ("photo.jpg", b"%!PS-Adobe-3.0 EPSF-3.0"),
    ],
)
def test_what_is_no_photo_is_refused_whatever_its_name(lite, name, data):
    client = lite.browser("Mina")
    answer = client.post("/api/v1/photos", files={"file": (name, data)})
    assert (answer.status_code, code(answer)) == (415, "not_an_image")
    assert client.get("/api/v1/photos").json()["items"] == []
    page = client.post("/upload", files={"files": (name, data)})
    assert page.status_code == 415
    assert "JPEG" in page.text


@pytest.mark.parametrize(
    "data",
    [
        picture(400, 400)[:5000],
        b"\xff\xd8\xff<script>alert(1)</script>",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        png(100, 100, b"too short"),
        b"II*\0" + b"\xff" * 200,
        b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00heicmif1" + bytes(50),
    ],
    ids=["truncated", "script after a mark", "empty png", "short png", "tiff loop", "heic"],
)
def test_what_begins_as_a_photo_and_is_none_becomes_broken_with_a_message(lite, data):
    client = lite.browser("Mina")
    photo = upload(client, data)
    job = restore(client, photo, "none")
    good = upload(client, picture(seed=1))
    lite.work()
    found, error = state(client, photo)
    assert (found, error) == ("broken", "unreadable")
    failed = client.get(f"/api/v1/jobs/{job}").json()
    assert failed["state"] == "failed"
    assert failed["error"]["code"] == "unreadable"
    assert state(client, good) == ("ready", None)


@pytest.mark.parametrize("pixels", [60_000, 20_000, 8_000])
def test_a_bomb_is_known_by_its_header_and_never_decoded(lite, monkeypatch, pixels):
    from PIL import Image

    client = lite.browser("Mina")
    photo = upload(client, png(pixels, pixels, bytes(1000)), "bomb.png")
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    lite.work()
    assert state(client, photo) == ("broken", "too_many_pixels")
    assert "50,000,000" in client.get(f"/api/v1/photos/{photo}").json()["error"]["message"]


def test_the_limit_on_pixels_is_the_operators(tmp_path):
    place = Place(tmp_path, "", max_pixels=1000)
    client = place.browser("Mina")
    photo = upload(client, picture(40, 26))
    lesser = upload(client, picture(40, 25))
    place.work()
    assert state(client, photo)[0] == "broken"
    assert state(client, lesser)[0] == "ready"
    place.close()


def test_a_renamed_photo_is_what_its_bytes_are(lite):
    client = lite.browser("Mina")
    photo = upload(client, picture(format="PNG"), name="photo.jpg.exe")
    lite.work()
    shown = client.get(f"/api/v1/photos/{photo}").json()
    assert (shown["format"], shown["state"]) == ("PNG", "ready")
    answer = client.get(f"/api/v1/photos/{photo}/file")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_name_with_a_path_or_in_another_script_comes_back_as_it_should(lite):
    client = lite.browser("Mina")
    evil = upload(client, name="../../../etc/가족.jpg")
    assert client.get(f"/api/v1/photos/{evil}").json()["name"] == "가족.jpg"
    answer = client.get(f"/api/v1/photos/{evil}/file")
    assert "filename*=UTF-8''%EA%B0%80%EC%A1%B1.jpg" in answer.headers["content-disposition"]
    assert {path.name for path in lite.storage.folder.iterdir()} >= {"incoming"}
    assert not list(lite.storage.folder.rglob("*.jpg"))


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fsettings.py",
        "/api/v1/photos/..%2f..%2fetc%2fpasswd/file",
        "/api/v1/photos/%00/file",
        "/photos/../../etc/passwd",
    ],
)
def test_no_path_leads_out(lite, path):
    assert lite.browser("Mina").get(path).status_code == 404


def test_a_body_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    place = Place(tmp_path, "", max_bytes=10_000)
    client = place.browser("Mina")
    for size in (20_000, 2_000_000):
        data = b"\xff\xd8\xff" + bytes(size)
        answer = client.post("/api/v1/photos", files={"file": ("a.jpg", data)})
        assert (answer.status_code, code(answer)) == (413, "too_large")

    def endless():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        yield b"\xff\xd8\xff"
        for _ in range(100):
            yield bytes(100_000)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = client.post("/api/v1/photos", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert list((place.storage.folder / "incoming").iterdir()) == []
    place.close()


def test_storage_and_queue_have_limits(tmp_path):
    size = len(picture())
    place = Place(tmp_path, "", bytes_per_user=2 * size, jobs_per_user=2)
    client = place.browser("Mina")
    first, _ = upload(client), upload(client)
    answer = client.post("/api/v1/photos", files={"file": ("a.jpg", picture())})
    assert (answer.status_code, code(answer)) == (413, "quota")
    client.delete(f"/api/v1/photos/{first}")
    photo = upload(client)
    place.settings.bytes_per_user = 10 * size  # results count, too
    restore(client, photo), restore(client, photo)
    answer = client.post("/api/v1/jobs", json={"photos": [photo], "kind": "none"})
    assert (answer.status_code, code(answer)) == (429, "queue_full")
    place.work()
    restore(client, photo)
    place.close()


def test_too_many_requests_are_refused_by_user(tmp_path):
    place = Place(tmp_path, "", requests_per_minute=20)
    mina, jun = place.browser("Mina"), place.browser("Jun")
    statuses = [mina.get("/api/v1/me").status_code for _ in range(25)]
    assert statuses[:15] == [200] * 15
    assert statuses[-1] == 429
    assert jun.get("/api/v1/me").status_code == 200
    place.close()
