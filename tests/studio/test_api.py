"""Albums, lists, archives, pages, the direct request, and what operators ask."""

import io
import re
import threading
import time
import zipfile
from pathlib import Path

import pytest
from helpers.studio import Place, code, picture, restore, upload
from sqlalchemy.exc import OperationalError

from faceskd.studio.routes.archive import _unique
from faceskd.studio.translation import LANGUAGES


def test_albums_and_moving(place):
    client = place.browser("Mina")
    made = client.post("/api/v1/albums", json={"name": "  Grand   parents "}).json()
    assert made["name"] == "Grand parents"
    first, second = upload(client, album_id=made["id"]), upload(client, picture(seed=1))
    listed = client.get(f"/api/v1/photos?album={made['id']}").json()["items"]
    assert [photo["id"] for photo in listed] == [first]
    body = {"photos": [first, second], "album_id": made["id"]}
    assert client.post("/api/v1/photos/move", json=body).status_code == 204
    place.work()
    (album,) = client.get("/api/v1/albums").json()["items"]
    assert album["photos"] == 2
    assert client.get(album["cover"]).headers["content-type"] == "image/webp"
    renamed = client.patch(f"/api/v1/albums/{album['id']}", json={"name": "할머니"}).json()
    assert (renamed["name"], renamed["photos"]) == ("할머니", 2)
    client.patch(f"/api/v1/photos/{first}", json={"album_id": None})
    assert client.get("/api/v1/photos?album=none").json()["items"][0]["id"] == first


@pytest.mark.parametrize(("photos", "left"), [("keep", 2), ("delete", 1)])
def test_an_album_is_deleted_with_or_without_its_photos(place, photos, left):
    client = place.browser("Mina")
    album = client.post("/api/v1/albums", json={"name": "A"}).json()["id"]
    upload(client, album_id=album), upload(client)
    assert client.delete(f"/api/v1/albums/{album}?photos={photos}").status_code == 204
    listed = client.get("/api/v1/photos").json()["items"]
    assert len(listed) == left
    assert {photo["album_id"] for photo in listed} == {None}


def test_a_list_in_parts_has_every_photo_once(place):
    client = place.browser("Mina")
    made = [upload(client) for _ in range(7)]
    found, cursor = [], ""
    while cursor is not None:
        answer = client.get(f"/api/v1/photos?limit=3{cursor and '&cursor=' + cursor}").json()
        found += [photo["id"] for photo in answer["items"]]
        cursor = answer["next"]
    assert found == made[::-1]
    assert client.get("/api/v1/photos?cursor=x_y").status_code == 422
    assert client.get("/api/v1/photos?cursor=" + "f" * 40 + "_").status_code == 422


def test_a_whole_album_is_restored_but_what_is_broken(lite):
    client = lite.browser("Mina")
    album = client.post("/api/v1/albums", json={"name": "A"}).json()["id"]
    upload(client, album_id=album), upload(client, b"\xff\xd8\xff", album_id=album)
    lite.work()
    body = {"album": album, "kind": "photo", "options": {"scale": 3}}
    (job,) = client.post("/api/v1/jobs", json=body).json()["items"]
    assert job["options"] == {
        "scale": 3.0,
        "strength": 1.0,
        "faces": "auto",
        "only_center_face": False,
    }
    lite.work()
    assert client.get(f"/api/v1/jobs/{job['id']}").json()["result"]["width"] == 180


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "magic"},
        {"options": {"scale": 9}},
        {"options": {"scale": "NaN"}},
        {"options": {"scale": True}},
        {"options": {"faces": "all"}},
        {"options": {"only_center_face": "perhaps"}},
        {"options": {"size": 1}},
        {"photos": []},
        {"photos": ["x"]},
        {"crop": {"x": -1, "y": 0, "side": 10}},
        {"crop": {"x": 0, "y": 0, "side": 0}},
        {"surprise": 1},
    ],
)
def test_jobs_that_cannot_be_are_refused(lite, change):
    client = lite.browser("Mina")
    body = {"photos": [upload(client)], "kind": "photo"} | change
    answer = client.post("/api/v1/jobs", json=body)
    assert (answer.status_code, code(answer)) == (422, "invalid")


def test_cancel_retry_and_delete(place):
    client = place.browser("Mina")
    photo = upload(client)
    key = restore(client, photo)
    assert client.post(f"/api/v1/jobs/{key}/retry").status_code == 409
    assert client.post(f"/api/v1/jobs/{key}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/api/v1/jobs/{key}/cancel").status_code == 409
    place.work()
    assert client.get(f"/api/v1/jobs/{key}/file").status_code == 404
    assert client.post(f"/api/v1/jobs/{key}/retry").json()["state"] == "queued"
    place.work()
    assert client.get("/api/v1/jobs?state=done").json()["items"][0]["id"] == key
    shown = client.get(f"/api/v1/photos/{photo}").json()
    assert (shown["job"]["id"], shown["job_count"]) == (key, 1)
    assert client.delete(f"/api/v1/jobs/{key}").status_code == 204
    assert client.get(f"/api/v1/photos/{photo}").json()["job"] is None


def test_an_archive_has_newest_results_under_different_names(lite):
    client = lite.browser("Mina")
    album = client.post("/api/v1/albums", json={"name": "가족"}).json()["id"]
    photos = [upload(client, picture(seed=seed), "가.jpg", album_id=album) for seed in range(2)]
    upload(client, picture(seed=9), "without.jpg", album_id=album)
    restore(client, photos[0], "photo", options={"scale": 1}), restore(client, photos[1])
    lite.work()
    time.sleep(0.01)
    restore(client, photos[0])
    lite.work()
    answer = client.get(f"/api/v1/albums/{album}/zip")
    assert "%EA%B0%80%EC%A1%B1.zip" in answer.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    assert archive.namelist() == ["가-restored.jpg", "가-restored (2).jpg"]
    assert archive.read("가-restored.jpg") == picture(seed=0)
    archive = zipfile.ZipFile(io.BytesIO(client.get("/api/v1/zip?content=originals").content))
    assert archive.namelist() == ["가.jpg", "가 (2).jpg", "without.jpg"]


def test_thousands_of_equal_names_in_an_archive_take_no_time():
    began = time.thread_time()
    names = [name for name, _ in _unique([("a.jpg", Path()), ("A.JPG", Path())] * 5000)]
    assert time.thread_time() - began < 1
    assert names[:3] == ["a.jpg", "A (2).JPG", "a (3).jpg"]
    assert len({name.lower() for name in names}) == 10_000


def test_a_small_photo_is_restored_directly_and_not_kept(place):
    client = place.browser("Mina")
    thread = threading.Thread(target=lambda: working(place))
    thread.start()
    files = {"file": ("a.jpg", picture())}
    answer = client.post("/api/v1/restore", files=files, data={"options": '{"scale": 3}'})
    thread.join()
    assert answer.headers["content-type"] == "image/jpeg"
    from PIL import Image

    assert Image.open(io.BytesIO(answer.content)).size == (180, 120)
    assert client.get("/api/v1/photos").json()["items"] == []
    assert client.get("/api/v1/jobs").json()["items"] == []
    assert list(place.storage.folder.glob("??/*")) == []


def working(place, seconds=20):
    """Work until a job was done."""
    worker, end = place.worker(), time.monotonic() + seconds
    while not worker.step() and time.monotonic() < end:
        time.sleep(0.02)


def test_a_direct_request_has_limits(tmp_path):
    place = Place(tmp_path, "", direct_pixels=100, direct_seconds=0.3)
    client = place.browser("Mina")
    files = {"file": ("a.jpg", picture())}
    answer = client.post("/api/v1/restore", files=files)
    assert (answer.status_code, code(answer)) == (504, "timeout")
    place.settings.direct_seconds = 20
    thread = threading.Thread(target=lambda: working(place))
    thread.start()
    answer = client.post("/api/v1/restore", files=files)
    thread.join()
    assert answer.status_code == 422
    assert "more than 100 pixels" in answer.json()["error"]["message"]
    for options in ("[]", "{", "1", '{"scale": 99}'):
        answer = client.post("/api/v1/restore", files=files, data={"options": options})
        assert answer.status_code == 422
    assert client.get("/api/v1/jobs").json()["items"] == []
    place.close()


def test_every_page_is_shown_in_every_language_with_a_strict_policy(lite):
    client = lite.browser("Mina")
    album = client.post("/api/v1/albums", json={"name": "<b>A</b>"}).json()["id"]
    photo = upload(client, name="<script>alert(1)</script>.jpg", album_id=album)
    restore(client, photo), restore(client, photo, "face", crop={"x": 0, "y": 0, "side": 20})
    lite.work()
    paths = ("/", f"/albums/{album}", f"/photos/{photo}", "/jobs", "/uncover")
    for path in (*paths, f"/uncover/{photo}", "/account", "/cost", "/api", "/nothing"):
        for language in LANGUAGES:
            client.cookies.set("language", language)
            answer = client.get(path)
            assert answer.status_code == (404 if path == "/nothing" else 200), path
            assert f'lang="{language}"' in answer.text
            assert "<script>alert" not in answer.text
            assert "<b>A</b>" not in answer.text
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert " style=" not in answer.text
            assert "onclick" not in answer.text


def test_forms_do_what_they_say(lite):
    client = lite.browser("Mina")
    answer = client.post("/albums", data={"name": "A"})
    album = answer.headers["location"].rpartition("/")[2]
    files = [("files", ("a.jpg", picture())), ("files", ("b.jpg", picture(seed=1)))]
    assert client.post("/upload", files=files, data={"album_id": album}).status_code == 303
    photos = client.get(f"/api/v1/photos?album={album}").json()["items"]
    photo = photos[0]["id"]
    form = {"kind": "photo", "option.photo.scale": "3", "option.photo.only_center_face": ["", "on"]}
    assert client.post(f"/photos/{photo}/jobs", data=form).status_code == 303
    (job,) = client.get("/api/v1/jobs").json()["items"]
    assert (job["options"]["scale"], job["options"]["only_center_face"]) == (3, True)
    client.post(f"/jobs/{job['id']}/cancel")
    client.post(f"/jobs/{job['id']}/retry")
    lite.work()
    assert client.get("/api/v1/jobs").json()["items"][0]["state"] == "done"
    client.post(f"/jobs/{job['id']}/delete")
    client.post(f"/photos/{photo}/delete")
    client.post(f"/albums/{album}/rename", data={"name": "B"})
    assert client.get("/api/v1/albums").json()["items"][0]["name"] == "B"
    client.post(f"/albums/{album}/delete", data={"photos": "delete"})
    assert client.get("/api/v1/photos").json()["items"] == []
    token = client.post("/account/tokens", data={"name": "script"})
    assert "fks_" in token.text
    key = client.get("/api/v1/tokens").json()["items"][0]["id"]
    client.post(f"/account/tokens/{key}/delete")
    assert client.get("/api/v1/tokens").json()["items"] == []
    changed = client.post(
        "/account/password", data={"current": "a long password", "new": "another password"}
    )
    assert changed.status_code == 200
    gone = client.post("/account/delete", data={"password": "another password"})
    assert (gone.status_code, client.get("/api/v1/me").status_code) == (303, 401)


def test_without_scripts_every_kind_can_be_chosen_where_there_is_one_photo(lite):
    client = lite.browser("Mina")
    photo = upload(client)
    page = client.get(f"/photos/{photo}").text
    form = page[page.index('<dialog id="restore"') :].partition("</dialog>")[0]
    assert "disabled" not in form
    assert f'action="/photos/{photo}/jobs"' in form
    fields = dict(re.findall(r'name="(option\.[a-z_.]+)"[^>]* value="([^"]*)"', form))
    assert fields["option.photo.scale"] == "2"
    assert client.post(f"/photos/{photo}/jobs", data=fields | {"kind": "none"}).status_code == 303
    assert client.get("/api/v1/jobs").json()["items"][0]["kind"] == "none"
    page = client.get("/").text
    assert "action" not in page[page.index('<dialog id="restore"') :].partition(">")[2][:200]


def test_the_page_activity_goes_on_with_older_jobs(lite):
    client = lite.browser("Mina")
    photo = upload(client)
    keys = {restore(client, photo) for _ in range(61)}
    pages = [client.get("/jobs").text]
    pages.append(client.get(re.search(r'href="(/jobs\?cursor=[^"]+)"', pages[0])[1]).text)
    newer, older = (set(re.findall(r'<li data-job="(\w+)"', page)) for page in pages)
    assert (len(newer), len(older), newer | older) == (60, 1, keys)
    assert "cursor" not in pages[1]


def test_preferences_are_kept_and_only_those_there_are(lite):
    client = lite.browser("Mina")
    answer = client.post("/preferences", data={"language": "ko", "theme": "dark", "next": "/jobs"})
    assert answer.headers["location"] == "/jobs"
    page = client.get("/jobs").text
    assert 'lang="ko"' in page
    assert "dark" in page
    client.post("/preferences", data={"language": "xx", "theme": "pink"})
    assert 'lang="ko"' in client.get("/jobs").text


@pytest.mark.parametrize(
    ("path", "form", "address"),
    [
        ("/account/tokens", {"name": "script"}, "/account"),
        ("/account/password", {"current": "wrong", "new": "wrong"}, "/account"),
        ("/login", {"name": "Mina", "password": "wrong"}, "/login"),
        ("/signup", {"name": "Mina", "password": "short"}, "/signup"),
        ("/albums", {"name": ""}, "/"),
    ],
)
def test_the_page_that_answers_a_form_leads_to_one_that_there_is(lite, path, form, address):
    client = lite.browser("Mina")
    page = client.post(path, data=form).text
    assert re.findall('name="next" value="([^"]*)"', page)[:2] == [address] * 2
    assert client.get(address).status_code in (200, 303)


def test_a_page_tries_again_by_itself_but_never_a_form(lite, monkeypatch):
    client = lite.browser("Mina")

    def away(*_):
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr(lite.database, "read", away)
    asked, sent = client.get("/jobs"), client.post("/albums", data={"name": "A"})
    assert asked.status_code == sent.status_code == 503
    assert "retry.js" in asked.text and 'href="/jobs">Try again' in asked.text
    assert "retry.js" not in sent.text and 'href="/">Go to your photos' in sent.text


def test_the_language_is_the_browsers(lite):
    answer = lite.browser().get("/login", headers={"accept-language": "fr, ko-KR;q=0.8, en"})
    assert 'lang="ko"' in answer.text


@pytest.mark.parametrize(
    ("body", "english", "korean"),
    [
        ({"photos": ["0" * 32] * 1001}, "photos: too many entries: at most 1000", "1000개"),
        ({"photos": [], "x": 1}, "photos: too few entries: at least 1", "1개"),
        ({}, "photos: it is missing", "없습니다"),
        ({"photos": "x"}, "photos: it has the wrong type or form", "형식"),
        ({"photos": ["x"]}, "photos.0: it has the wrong type or form", "형식"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_the_language(lite, body, english, korean):
    client = lite.browser("Mina")
    answer = client.post("/api/v1/photos/delete", json=body)
    assert answer.status_code == 422
    assert english in answer.json()["error"]["message"]
    client.cookies.set("language", "ko")
    message = client.post("/api/v1/photos/delete", json=body).json()["error"]["message"]
    assert korean in message
    assert not re.search("[a-z]{3}", message.replace("photos", ""))


def test_health_readiness_and_metrics(place):
    client = place.browser("Mina")
    assert client.get("/healthz").text == client.get("/readyz").text == "ok"
    restore(client, upload(client))
    restore(client, upload(client, picture(seed=1)))
    place.worker().step()
    assert client.get("/metrics").status_code == 404  # not loopback, no token
    place.settings.metrics_token = "secret"
    assert client.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 404
    text = client.get("/metrics", headers={"authorization": "Bearer secret"}).text
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines['faceskd_jobs{state="done"}']) == 2
    assert float(lines['faceskd_jobs_ended_total{kind="none",state="done"}']) == 2
    assert float(lines['faceskd_work_seconds_total{kind="none"}']) > 0
    assert float(lines["faceskd_photos"]) == 2
    uploads = 'faceskd_request_seconds_count{method="POST",route="/api/v1/photos",status="201"}'
    assert float(lines[uploads]) == 2
    (place.storage.folder / "incoming").rmdir()
    assert client.get("/readyz").status_code == 503


def test_the_cost_is_measured_by_jobs_that_were_done(lite):
    client = lite.browser("Mina")
    assert client.get("/api/v1/cost").json()["seconds_per_photo"] is None
    restore(client, upload(client), "photo")
    lite.work()
    cost = client.get("/api/v1/cost").json()
    assert cost["photos"] == 1
    worker = lite.worker()
    assert (cost["processor"], cost["threads"]) == worker.ran_on
    upload(client, picture(seed=1))  # on another machine, slowly
    restore(client, client.get("/api/v1/photos").json()["items"][0]["id"], "photo")
    worker.ran_on = ("NVIDIA X", None)
    while worker.step():
        pass
    gpu = client.get("/api/v1/cost").json()
    assert (gpu["photos"], gpu["processor"], gpu["threads"]) == (1, "NVIDIA X", None)
    assert "NVIDIA X" in client.get("/cost").text
    assert cost["photos_per_month"] == int(30 * 86_400 / cost["seconds_per_photo"])


def test_the_openapi_description_has_examples_and_every_error(lite):
    described = lite.browser().get("/api/v1/openapi.json").json()
    assert len(described["paths"]) > 20
    for path, methods in described["paths"].items():
        if path.startswith("/api/v1"):
            for operation in methods.values():
                assert "404" in operation["responses"]
                assert operation.get("description"), path
    assert "examples" in described["components"]["schemas"]["NewJobs"]["properties"]["kind"]


def test_characters_that_a_database_cannot_keep_are_refused_or_found_nowhere(place):
    client = place.browser("Mina")
    for answer in (
        client.get("/api/v1/photos?album=%00"),
        client.get("/api/v1/photos?cursor=1_%00"),
        client.post("/api/v1/session", json={"name": "a\0b", "password": "a long password"}),
        client.post("/login", data={"name": "a\0b", "password": "a long password"}),
        client.post("/api/v1/albums", json={"name": "a\0b"}),
        client.post("/upload", files={"files": ("a.jpg", picture())}, data={"album_id": "\0"}),
    ):
        assert answer.status_code in (200, 401, 404, 422), answer.text
