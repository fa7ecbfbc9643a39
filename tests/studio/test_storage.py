"""Files: the same bytes once, nothing lost, nothing left."""

import errno
import io
import os
import threading
import time

import pytest
from helpers.postgres import wait_for_a_lock
from helpers.studio import picture, upload
from sqlalchemy import delete, select

from faceskd.studio import storage as module
from faceskd.studio.errors import Refusal
from faceskd.studio.tables import File


def files(place):
    return sorted(path for path in place.storage.folder.glob("??/*"))


def incoming(place):
    return list((place.storage.folder / "incoming").iterdir())


def test_the_same_bytes_are_stored_once_and_deleted_with_their_last_photo(place):
    mina, jun = place.browser("Mina"), place.browser("Jun")
    photos = [upload(mina), upload(mina), upload(jun)]
    assert len(files(place)) == 1
    mina.delete(f"/api/v1/photos/{photos[0]}")
    assert len(files(place)) == 1
    mina.delete(f"/api/v1/photos/{photos[1]}")
    assert jun.get(f"/api/v1/photos/{photos[2]}/file").content == picture()
    jun.delete(f"/api/v1/photos/{photos[2]}")
    assert files(place) == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_file_that_comes_again_while_it_is_deleted_has_its_row(place):
    def keep():
        incoming = place.storage.receive(b"bytes")
        with place.database.write() as session:
            return place.storage.keep(session, incoming)

    name = keep()
    with place.database.write() as session:
        place.storage._lock(session, name, 0)
        thread = threading.Thread(target=keep)
        thread.start()
        wait_for_a_lock(session)
        session.execute(delete(File))
    thread.join()
    with place.database.read() as session:
        assert session.scalars(select(File.sha256)).all() == [name]


def test_thumbnails_and_results_go_with_the_photo(place):
    client = place.browser("Mina")
    photo = upload(client)
    client.post("/api/v1/jobs", json={"photos": [photo], "kind": "photo"})
    place.work()
    assert len(files(place)) > 3
    client.delete(f"/api/v1/photos/{photo}")
    assert files(place) == []
    assert incoming(place) == []


def test_a_rolled_back_upload_leaves_an_orphan_that_is_found_after_an_hour(place):
    kept = place.storage.receive(b"bytes")
    with pytest.raises(RuntimeError, match="after"), place.database.write() as session:
        place.storage.keep(session, kept)
        raise RuntimeError("after the file is in place")
    (path,) = files(place)
    assert list(place.storage.orphans()) == []
    old = time.time() - module.ORPHAN_SECONDS - 1
    os.utime(path, (old, old))
    assert list(place.storage.orphans()) == [path]
    place.storage.delete_orphans()
    assert files(place) == []


def test_what_a_photo_names_is_no_orphan(place):
    upload(place.browser("Mina"))
    old = time.time() - module.ORPHAN_SECONDS - 1
    for path in files(place):
        os.utime(path, (old, old))
    assert place.storage.delete_orphans() == []
    assert len(files(place)) == 1


def test_more_bytes_than_allowed_leave_nothing(lite):
    with pytest.raises(Refusal) as refused:
        lite.storage.receive(io.BytesIO(b"x" * 100), limit=99)
    assert refused.value.status == 413
    assert incoming(lite) == []


def test_a_full_disk_is_said_and_leaves_nothing(lite, monkeypatch):
    client = lite.browser("Mina")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    answer = client.post("/api/v1/photos", files={"file": ("a.jpg", picture())})
    assert answer.status_code == 507
    assert answer.json()["error"]["code"] == "storage_full"
    assert incoming(lite) == []
    monkeypatch.undo()
    upload(client)


def test_a_path_is_made_of_a_hash_only(lite):
    for name in ("../../etc/passwd", "A" * 64, "0" * 63, ""):
        with pytest.raises(ValueError, match="SHA-256"):
            lite.storage.path(name)
