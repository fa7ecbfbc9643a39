"""What an attacker or a careless user may try, beside what the other files test."""

import asyncio
import io
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from helpers.studio import PASSWORD, code, picture, restore, upload
from sqlalchemy.exc import OperationalError

from faceskd.studio import library, removal
from faceskd.studio.context import network
from faceskd.studio.database import is_away
from faceskd.studio.routes import direct
from faceskd.studio.security import FORM_BYTES
from faceskd.studio.tables import Job


def at_once(count, send):
    """Statuses of requests that are sent at the same time."""
    start = threading.Barrier(count)

    def one(number):
        start.wait()
        return send(number).status_code

    with ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(one, range(count)))


def test_guesses_that_are_sent_at_once_are_counted_too(places):
    place = places(login_failures=3)
    place.browser("Mina")
    body = {"name": "Mina", "password": "wrong password"}
    statuses = at_once(8, lambda _: place.browser().post("/api/v1/session", json=body))
    assert statuses == [401] * 3 + [429] * 5


def test_right_passwords_are_not_counted(places):
    place = places(login_failures=2)
    client = place.browser("Mina")
    body = {"name": "Mina", "password": PASSWORD}
    assert {client.post("/api/v1/session", json=body).status_code for _ in range(4)} == {200}


def test_one_address_cannot_sign_up_without_end(places):
    client = places(sign_ups_per_hour=2).browser()
    body = {"password": PASSWORD}
    answers = [client.post("/api/v1/users", json=body | {"name": f"user {n}"}) for n in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert 0 < int(answers[2].headers["retry-after"]) <= 1800


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_all_of_an_ipv6_network_counts_as_one(host, counted):
    assert network(SimpleNamespace(client=SimpleNamespace(host=host))) == counted


def test_many_uploads_at_once_do_not_pass_the_limit_on_storage(place):
    client = place.browser("Mina")
    place.settings.bytes_per_user = 2 * len(picture())
    files = {"file": ("a.jpg", picture())}
    statuses = at_once(6, lambda _: client.post("/api/v1/photos", files=files))
    assert statuses == [201] * 2 + [413] * 4


def test_many_jobs_at_once_do_not_pass_the_limit_on_jobs(place):
    client = place.browser("Mina")
    place.settings.jobs_per_user = 2
    body = {"photos": [upload(client)], "kind": "none"}
    statuses = at_once(6, lambda _: client.post("/api/v1/jobs", json=body))
    assert statuses == [201] * 2 + [429] * 4


def test_a_request_that_comes_again_at_the_same_moment_does_nothing_twice(place):
    client = place.browser("Mina")
    files, key = {"file": ("a.jpg", picture())}, {"idempotency-key": "a random text"}
    statuses = at_once(6, lambda _: client.post("/api/v1/photos", files=files, headers=key))
    assert statuses == [201] * 6
    (photo,) = client.get("/api/v1/photos").json()["items"]
    body = {"photos": [photo["id"]], "kind": "none"}
    statuses = at_once(6, lambda _: client.post("/api/v1/jobs", json=body, headers=key))
    assert statuses == [201] * 6
    assert len(client.get("/api/v1/jobs").json()["items"]) == 1


def test_a_job_that_is_tried_again_counts_for_the_limit_on_jobs(places):
    client = places(jobs_per_user=1).browser("Mina")
    photo = upload(client)
    key = restore(client, photo)
    client.post(f"/api/v1/jobs/{key}/cancel")
    restore(client, photo)
    answer = client.post(f"/api/v1/jobs/{key}/retry")
    assert (answer.status_code, code(answer)) == (429, "queue_full")
    assert client.get(f"/api/v1/jobs/{key}").json()["state"] == "cancelled"


def test_more_photos_than_jobs_can_wait_are_refused_for_good(places):
    client = places(jobs_per_user=1).browser("Mina")
    body = {"photos": [upload(client), upload(client)], "kind": "none"}
    answer = client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 422
    assert "At most 1 photos" in answer.json()["error"]["message"]


def test_guesses_of_access_tokens_are_counted(places):
    client = places(requests_per_minute=2).browser()
    wrong = {"authorization": "Bearer fks_wrong"}
    statuses = [client.get("/api/v1/photos", headers=wrong).status_code for _ in range(3)]
    assert statuses == [401, 401, 429]


def test_the_large_body_of_a_stranger_is_not_read(places, monkeypatch):
    client = places(requests_per_minute=3).browser()
    client.cookies.set("faceskd_session", "made up")
    monkeypatch.setattr("starlette.requests.MultiPartParser", lambda *_, **__: pytest.fail("read"))
    large = b"\xff\xd8\xff" + bytes(FORM_BYTES)
    assert client.post("/api/v1/photos", files={"file": ("a.jpg", large)}).status_code == 401
    answer = client.post("/upload", files={"files": ("a.jpg", large)})
    assert answer.headers["location"] == "/login?next=/"
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for status in (401, 429):  # of a body that does not say how long it is
        answer = client.post("/api/v1/restore", content=iter([b"--x"]), headers=headers)
        assert answer.status_code == status


def test_a_request_with_a_large_body_is_counted_once(lite, monkeypatch):
    client, counted = lite.browser("Mina"), []
    monkeypatch.setattr(lite.app.state.studio.rate, "count", counted.append)
    upload(client, picture() + bytes(FORM_BYTES))
    assert len(counted) == 1


def test_results_count_for_the_limit_on_storage(places):
    data = picture(format="PNG")
    place = places(bytes_per_user=2 * len(data) + 100)
    client = place.browser("Mina")
    photo = upload(client, data)
    small, large = restore(client, photo), restore(client, photo, "photo", options={"scale": 4})
    place.work()
    states = [client.get(f"/api/v1/jobs/{key}").json() for key in (small, large)]
    assert [job["state"] for job in states] == ["done", "failed"]
    assert states[1]["error"]["code"] == "quota"
    place.settings.bytes_per_user = len(data)
    answer = client.post("/api/v1/jobs", json={"photos": [photo], "kind": "none"})
    assert (answer.status_code, code(answer)) == (413, "quota")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_job_that_is_deleted_at_the_same_moment_is_not_there(place, monkeypatch):
    client = place.browser("Mina")
    key = restore(client, upload(client))
    inner = library.owned

    def owned(session, table, *rest, **more):
        found = inner(session, table, *rest, **more)
        if table is Job:
            with place.database.write() as other:
                other.delete(other.get_one(Job, key))
        return found

    monkeypatch.setattr(library, "owned", owned)
    assert client.post(f"/api/v1/jobs/{key}/cancel").status_code == 404


def test_photos_are_deleted_in_one_order_whatever_the_request_says(lite, monkeypatch):
    client = lite.browser("Mina")
    keys = [upload(client) for _ in range(4)]
    seen, inner = [], removal.forget_photo
    monkeypatch.setattr(
        removal,
        "forget_photo",
        lambda session, photo: seen.append(photo.id) or inner(session, photo),
    )
    client.post("/api/v1/photos/delete", json={"photos": sorted(keys, reverse=True)})
    assert seen == sorted(keys)


def test_a_deletion_that_ends_by_a_deadlock_is_tried_once_more(lite, monkeypatch):
    psycopg = pytest.importorskip("psycopg", reason="psycopg is not installed")
    client = lite.browser("Mina")
    photo = upload(client)
    deadlock = OperationalError("DELETE", {}, psycopg.errors.DeadlockDetected())
    assert not is_away(deadlock)
    inner, left = removal.forget_photo, [2]

    def forget_photo(session, row):
        if left[0]:
            left[0] -= 1
            raise deadlock
        return inner(session, row)

    monkeypatch.setattr(removal, "forget_photo", forget_photo)
    assert code(client.delete(f"/api/v1/photos/{photo}")) == "conflict"
    left[0] = 1
    assert client.delete(f"/api/v1/photos/{photo}").status_code == 204


def test_many_deletions_at_once_delete_once(place):
    client = place.browser("Mina")
    photo = upload(client)
    place.work()
    restore(client, photo)
    place.work()
    statuses = at_once(4, lambda _: client.delete(f"/api/v1/photos/{photo}"))
    assert statuses == [204] + [404] * 3
    assert list(place.storage.folder.glob("??/*")) == []


def test_a_stream_ends_so_that_a_login_that_has_ended_is_noticed(lite, monkeypatch):
    monkeypatch.setattr("faceskd.studio.events.STREAM_SECONDS", 0)

    async def read():
        return [chunk async for chunk in lite.app.state.studio.hub.listen("somebody")]

    assert asyncio.run(read()) == [b"event: hello\ndata: {}\n\n"]


def test_photos_of_direct_requests_are_not_shown(lite):
    client = lite.browser("Mina")
    with lite.database.read() as session:
        user = session.get_one(library.User, client.get("/api/v1/me").json()["id"])
    file = SimpleNamespace(file=io.BytesIO(picture()), filename="a.jpg")
    direct._start(lite.app.state.studio, user, file, "none", {})
    assert client.get("/api/v1/jobs").json()["items"] == []
    assert client.get("/api/v1/photos").json()["items"] == []
    assert "a.jpg" not in client.get("/jobs").text
    assert len(client.get("/api/v1/zip?content=originals").content) < 100


def test_files_of_an_archive_are_of_now(lite):
    client = lite.browser("Mina")
    upload(client)
    archive = zipfile.ZipFile(io.BytesIO(client.get("/api/v1/zip?content=originals").content))
    assert archive.infolist()[0].date_time[0] >= time.localtime().tm_year - 1


JUNK = [
    b"\xff",
    b"null",
    b"[]",
    b'"text"',
    b"{",
    b"[" * 100_000,
    b'{"name": "\\ud800", "password": "\\ud800\\ud800\\ud800\\ud800"}',
    b'{"name": "\\u0000", "photos": ["\\u0000"], "kind": "\\ud800", "options": {"\\ud800": 1}}',
    b'{"name": {"a": 1}, "photos": {"0": "x"}, "kind": ["photo"], "options": {"scale": 1e999}}',
    b'{"photos": [], "kind": "photo", "options": {"scale": NaN}}',
]
POSTS = (
    *("users", "session", "albums", "photos", "photos/move", "photos/delete", "jobs", "tokens"),
    "restore",
)
FORMS = (
    *("/login", "/signup", "/preferences", "/albums", "/upload", "/account/password"),
    *("/account/tokens", f"/photos/{'0' * 32}/jobs", f"/jobs/{'0' * 32}/retry"),
)
TYPES = (
    "text/plain",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "application/x-www-form-urlencoded",
    "\xff",
)


def test_no_junk_is_answered_by_500(places):
    client = places(login_failures=1000, sign_ups_per_hour=1000).browser("Mina")
    bodies = [("application/json", body) for body in JUNK] + [(kind, JUNK[0]) for kind in TYPES]
    for path in (*(f"/api/v1/{name}" for name in POSTS), *FORMS):
        for kind, body in bodies:
            headers = {"content-type": kind.encode("latin-1")}
            answer = client.post(path, content=body, headers=headers)
            assert answer.status_code in (303, 400, 401, 403, 404, 413, 415, 422), (path, body)
    assert client.get("/api/v1/photos").json()["items"] == []
    assert client.get("/api/v1/albums").json()["items"] == []
