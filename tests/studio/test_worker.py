"""The worker: decodes, restores in batches, writes results, and says what went wrong."""

import errno
import io
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers.postgres import wait_for_a_lock
from helpers.studio import picture, restore, upload
from PIL import Image

from faceskd.common.errors import FaceskdError, ImageError, WeightsError
from faceskd.studio import pictures
from faceskd.studio.problems import Problem
from faceskd.studio.storage import Storage
from faceskd.studio.tables import Job, Photo
from faceskd.studio.worker import Worker


def job(client, key):
    return client.get(f"/api/v1/jobs/{key}").json()


def make_due(place):
    """Let jobs that wait for another attempt wait no longer."""
    with place.database.write() as session:
        for row in session.query(Job):
            row.due = row.created


def opened(answer):
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def test_an_import_makes_thumbnail_and_preview_of_the_upright_photo(place):
    client = place.browser("Mina")
    image = Image.new("RGB", (60, 40), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif)
    photo = upload(client, file.getvalue())
    place.work()
    shown = client.get(f"/api/v1/photos/{photo}").json()
    assert (shown["state"], shown["width"], shown["height"]) == ("ready", 40, 60)
    assert opened(client.get(shown["thumbnail"])).size == (320, 320)
    assert opened(client.get(shown["preview"])).size == (40, 60)
    assert client.get(shown["file"]).content == file.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_format_is_read(lite, format):
    client = lite.browser("Mina")
    photo = upload(client, picture(64, 48, format))
    key = restore(client, photo, "photo", options={"scale": 2})
    lite.work()
    assert client.get(f"/api/v1/photos/{photo}").json()["state"] == "ready"
    done = job(client, key)
    assert (done["state"], done["result"]["width"]) == ("done", 128)
    result = opened(client.get(done["result"]["file"]))
    assert result.size == (128, 96)
    assert result.format == {"JPEG": "JPEG", "WEBP": "WEBP"}.get(format, "PNG")


def test_the_original_comes_back_byte_for_byte(place):
    client = place.browser("Mina")
    key = restore(client, upload(client), "none")
    place.work()
    assert client.get(f"/api/v1/jobs/{key}/file").content == picture()


def test_a_crop_becomes_a_face_with_a_picture_of_before(lite):
    client = lite.browser("Mina")
    photo = upload(client, picture(300, 200))
    crop = {"x": 100, "y": 50, "side": 120}
    key = restore(client, photo, "face", crop=crop)
    lite.work()
    done = job(client, key)
    assert done["crop"] == crop
    assert (done["result"]["width"], done["result"]["height"]) == (256, 256)
    assert done["result"]["faces"][0]["box"] == [0, 0, 120, 120]
    for name in ("file", "preview", "before"):
        assert opened(client.get(done["result"][name])).size == (256, 256)


def test_a_crop_of_the_original_is_that_crop(lite):
    client = lite.browser("Mina")
    data = picture(100, 80, "PNG")
    key = restore(client, upload(client, data), "none", crop={"x": 10, "y": 20, "side": 30})
    lite.work()
    result = np.asarray(opened(client.get(f"/api/v1/jobs/{key}/file")))
    assert (result == np.asarray(Image.open(io.BytesIO(data)))[20:50, 10:40]).all()


def test_a_crop_outside_the_photo_is_refused_or_fails(lite):
    client = lite.browser("Mina")
    crop = {"x": 50, "y": 0, "side": 30}
    early = restore(client, upload(client), "none", crop=crop)  # its size is not known yet
    lite.work()
    assert job(client, early)["state"] == "failed"
    photo = client.get("/api/v1/photos").json()["items"][0]["id"]
    body = {"photos": [photo], "kind": "none", "crop": crop}
    assert client.post("/api/v1/jobs", json=body).status_code == 422


def test_photos_of_several_jobs_share_a_batch_unless_their_options_differ(lite):
    client = lite.browser("Mina")
    photos = [upload(client, picture(seed=seed)) for seed in range(4)]
    lite.work()
    for photo, scale in zip(photos, (2, 2, 3, 2), strict=True):
        restore(client, photo, "photo", options={"scale": scale})
    assert lite.worker().step() == 4
    assert sorted(lite.restorer.batches) == [1, 3]


def test_one_photo_that_spoils_a_batch_fails_alone(lite, monkeypatch):
    client = lite.browser("Mina")
    photos = [upload(client, picture(seed=seed)) for seed in range(3)]
    bad = upload(client, picture(50, 50))
    lite.work()
    keys = [restore(client, photo, "photo") for photo in [*photos, bad]]
    inner = lite.restorer.photos
    handled = []

    def photos_(images, settings):
        handled.append(sys.exception())
        if any(image.shape[0] == 50 for image in images):
            raise WeightsError("expected finite numbers")
        return inner(images, settings)

    monkeypatch.setattr(lite.restorer, "photos", photos_)
    lite.work()
    assert [job(client, key)["state"] for key in keys] == ["done"] * 3 + ["failed"]
    assert "finite" in job(client, keys[3])["error"]["message"]
    assert handled == [None] * 5  # an error that is still handled would hold the batch in memory


def test_a_photo_without_faces_is_done_and_has_none(lite):
    client = lite.browser("Mina")
    key = restore(client, upload(client), "photo")
    lite.work()
    done = job(client, key)
    assert (done["state"], done["result"]["faces"]) == ("done", [])


def test_a_worker_without_weights_says_so_and_does_what_needs_none(tmp_path, lite):
    client = lite.browser("Mina")
    photo = upload(client)
    needs, free = restore(client, photo, "face"), restore(client, photo, "none")
    lite.settings.model = str(tmp_path / "missing.safetensors")
    worker = lite.worker()
    del worker.restorer
    while worker.step():
        pass
    assert job(client, needs)["state"] == "failed"
    error = job(client, needs)["error"]
    assert (error["code"], "missing.safetensors" in error["message"]) == ("no_model", True)
    assert job(client, free)["state"] == "done"
    assert client.post(f"/api/v1/jobs/{needs}/retry").json()["state"] == "queued"
    lite.settings.model = ""
    lite.work()
    assert job(client, needs)["state"] == "done"


@pytest.mark.parametrize(
    ("kind", "writer"),
    [
        ("none", "faceskd.studio.storage.os.fsync"),
        ("photo", "PIL.Image.Image.save"),
        ("photo", "faceskd.studio.work.tempfile.TemporaryDirectory"),
    ],
)
def test_a_full_disk_delays_a_job_and_loses_nothing(lite, monkeypatch, kind, writer):
    client = lite.browser("Mina")
    photo = upload(client)
    lite.work()
    key = restore(client, photo, kind)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, full)
    lite.worker().step()
    waiting = job(client, key)
    assert (waiting["state"], waiting["attempts"]) == ("queued", 1)
    assert waiting["error"]["code"] == "disk_full"
    monkeypatch.undo()
    make_due(lite)
    lite.work()
    assert job(client, key)["state"] == "done"


def test_a_photo_for_which_memory_was_short_is_read_again(lite, monkeypatch):
    client = lite.browser("Mina")
    photo = upload(client)

    def short(_):
        raise ImageError("photo.jpg: not enough memory to read it") from MemoryError()

    monkeypatch.setattr(pictures, "read_photo", short)
    lite.worker().step()
    assert client.get(f"/api/v1/photos/{photo}").json()["state"] == "new"
    monkeypatch.undo()
    with lite.database.write() as session:
        session.get(Photo, photo).error = Problem("no_memory").stored  # as after the last attempt
    make_due(lite)
    lite.work()
    shown = client.get(f"/api/v1/photos/{photo}").json()
    assert (shown["state"], shown["error"]) == ("ready", None)


@pytest.mark.parametrize(
    ("number", "state"), [(errno.EIO, "new"), (errno.EACCES, "new"), (errno.EINVAL, "broken")]
)
def test_a_file_that_the_disk_does_not_give_is_not_called_damaged(lite, monkeypatch, number, state):
    client = lite.browser("Mina")
    photo = upload(client)

    def failing(*_, **__):
        raise ImageError("damaged or truncated image") from OSError(number, "of the disk?")

    monkeypatch.setattr(pictures, "read_photo", failing)
    lite.worker().step()
    assert client.get(f"/api/v1/photos/{photo}").json()["state"] == state


def test_a_worker_refuses_a_folder_that_is_not_that_of_the_database(tmp_path, lite, monkeypatch):
    upload(lite.browser("Mina"))
    worker = Worker(lite.settings, lite.database, Storage(tmp_path / "other", lite.database))
    monkeypatch.setattr(worker, "step", worker.stopping.set)
    with pytest.raises(FaceskdError, match=r"expected the files .*/other', got a folder without"):
        worker.run()
    lite.storage.check()


def test_a_worker_goes_on_when_tidying_fails(lite, monkeypatch):
    client = lite.browser("Mina")
    key = restore(client, upload(client))

    def broken(*_, **__):
        raise PermissionError("not my file")

    monkeypatch.setattr("faceskd.studio.worker.removal.delete_old", broken)
    worker = lite.worker()
    inner = worker.step

    def step():
        done = inner()
        if not done:
            worker.stopping.set()
        return done

    monkeypatch.setattr(worker, "step", step)
    worker.run()
    assert job(client, key)["state"] == "done"


def test_a_job_whose_photo_was_deleted_says_so(place):
    client = place.browser("Mina")
    photo = upload(client)
    place.work()
    key = restore(client, photo)
    client.delete(f"/api/v1/photos/{photo}")
    place.work()
    lost = job(client, key)
    assert (lost["state"], lost["photo_id"], lost["photo_name"]) == ("failed", None, "photo.jpg")
    assert lost["error"]["code"] == "photo_deleted"
    assert client.post(f"/api/v1/jobs/{key}/retry").status_code == 409


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_photo_can_be_deleted_while_its_import_ends(place, monkeypatch):
    client = place.browser("Mina")
    photo = upload(client)
    worker, inner, answers = place.worker(), place.storage.keep, []
    thread = threading.Thread(
        target=lambda: answers.append(client.delete(f"/api/v1/photos/{photo}").status_code)
    )

    def keep(session, incoming):
        if not thread.ident:
            thread.start()
            wait_for_a_lock(session)
        return inner(session, incoming)

    monkeypatch.setattr(worker.storage, "keep", keep)
    assert worker.step() == 1
    thread.join()
    assert answers == [204]
    assert place.work() == 0


@pytest.mark.parametrize("end", ["delete photo", "delete job", "cancel", "delete account"])
def test_what_ends_while_a_worker_is_at_it_leaves_nothing(place, monkeypatch, end):
    client = place.browser("Mina")
    photo = upload(client)
    place.work()
    key = restore(client, photo, "photo")
    inner = place.restorer.photos

    def photos(images, settings):
        if end == "delete photo":
            client.delete(f"/api/v1/photos/{photo}")
        elif end == "delete job":
            client.delete(f"/api/v1/jobs/{key}")
        elif end == "cancel":
            assert client.post(f"/api/v1/jobs/{key}/cancel").json()["state"] == "cancelled"
        else:
            client.request("DELETE", "/api/v1/me", json={"password": "a long password"})
        return inner(images, settings)

    monkeypatch.setattr(place.restorer, "photos", photos)
    place.work()
    if end == "cancel":
        assert job(client, key)["result"] is None
        assert client.post(f"/api/v1/jobs/{key}/retry").json()["state"] == "queued"
    elif end != "delete account":
        assert len(client.get("/api/v1/jobs").json()["items"]) == (end == "delete photo")
    files = len(list(place.storage.folder.glob("??/*")))
    assert files == (0 if end in ("delete photo", "delete account") else 3)
    assert list((place.storage.folder / "incoming").iterdir()) == []


def test_a_worker_that_is_to_stop_finishes_its_batch(lite, monkeypatch):
    client = lite.browser("Mina")
    keys = [restore(client, upload(client, picture(seed=seed)), "face") for seed in range(3)]
    worker = lite.worker()
    inner = lite.restorer.restore_faces

    def restore_faces(faces):
        worker.stopping.set()
        return inner(faces)

    monkeypatch.setattr(lite.restorer, "restore_faces", restore_faces)
    thread = threading.Thread(target=worker.run)
    thread.start()
    thread.join(60)
    states = [job(client, key)["state"] for key in keys]
    assert not thread.is_alive()
    assert "running" not in states
    assert "done" in states


def test_the_server_does_not_import_pytorch():
    line = "import sys, faceskd.studio.app; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", line], check=True)
