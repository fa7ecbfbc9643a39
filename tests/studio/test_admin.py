"""What operators do in a shell."""

import io
import json
import math
import os
import tarfile
import time
from datetime import timedelta

import pytest
from helpers.studio import PASSWORD, Place, picture, restore, upload
from pydantic import ValidationError
from sqlalchemy import select, update

from faceskd.commands.studio import main
from faceskd.studio import removal
from faceskd.studio.problems import Problem
from faceskd.studio.settings import Settings
from faceskd.studio.tables import FAILED, Base, Job, Photo, utcnow

TABLES = [table for table in Base.metadata.sorted_tables if table.name != "logins"]


def admin(place, *words):
    where = ["--storage", str(place.settings.storage), "--database", place.settings.database_url]
    return main([*where, "admin", *words])


def rows(place):
    """All rows, but of files not when they were stored."""
    found = {}
    with place.database.read() as session:
        for table in TABLES:
            columns = [c for c in table.columns if (table.name, c.name) != ("files", "created")]
            found[table.name] = sorted(map(str, session.execute(select(*columns))))
    return found


@pytest.fixture
def filled(place):
    client = place.browser("Mina")
    album = client.post("/api/v1/albums", json={"name": "가족"}).json()["id"]
    restore(client, upload(client, album_id=album), "photo")
    upload(client, picture(seed=1))
    client.post("/api/v1/tokens", json={"name": "script"})
    place.work()
    return client


def test_users(place, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\nanother password\n"))
    assert admin(place, "users", "add", "Jun") == 0
    assert admin(place, "users", "password", "jun") == 0
    assert admin(place, "users", "list") == 0
    assert "Jun\t" in capsys.readouterr().out
    body = {"name": "Jun", "password": "another password"}
    assert place.browser().post("/api/v1/session", json=body).status_code == 200
    assert admin(place, "users", "delete", "Jun") == 0
    with pytest.raises(SystemExit):
        admin(place, "users", "delete", "Jun")


def test_jobs(place, filled, capsys):
    photo = filled.get("/api/v1/photos").json()["items"][0]["id"]
    key = restore(filled, photo)
    admin(place, "jobs", "cancel")
    admin(place, "jobs", "list")
    assert "none\tcancelled\t1" in capsys.readouterr().out
    assert filled.get(f"/api/v1/jobs/{key}").json()["state"] == "cancelled"


def test_photos_whose_files_were_away_are_read_after_a_retry(lite):
    client = lite.browser("Mina")
    photo = upload(client)
    (path,) = lite.storage.folder.glob("??/*")
    aside = path.rename(lite.storage.folder / "aside")
    for _ in range(lite.settings.attempts):
        with lite.database.write() as session:
            session.execute(update(Job).values(due=Job.created))
        lite.worker().step()
    shown = client.get(f"/api/v1/photos/{photo}").json()
    assert (shown["state"], shown["error"]["code"]) == ("broken", "file_away")
    aside.rename(path)
    admin(lite, "jobs", "retry")
    shown = client.get(f"/api/v1/photos/{photo}").json()
    assert (shown["state"], shown["error"]) == ("new", None)
    lite.work()
    assert client.get(f"/api/v1/photos/{photo}").json()["state"] == "ready"


def test_jobs_that_failed_are_queued_again_if_their_photo_is_there(place, filled, capsys):
    (done,) = filled.get("/api/v1/jobs").json()["items"]
    failed = restore(filled, done["photo_id"])
    with place.database.write() as session:
        job = session.get(Job, failed)
        job.state, job.error = FAILED, Problem("no_memory").stored
    deleted = upload(filled, picture(seed=2))
    lost = restore(filled, deleted)
    filled.delete(f"/api/v1/photos/{deleted}")  # its job fails
    admin(place, "jobs", "retry")
    assert capsys.readouterr().out == "1 jobs queued again\n"
    jobs = {job["id"]: job for job in filled.get("/api/v1/jobs").json()["items"]}
    states = {key: job["state"] for key, job in jobs.items()}
    assert states == {done["id"]: "done", failed: "queued", lost: "failed"}
    assert jobs[failed]["error"] is None


def test_orphans(place, filled, capsys):
    path = place.storage.folder / "incoming" / "left"
    path.write_bytes(b"left by a killed server")
    old = time.time() - 4000
    os.utime(path, (old, old))
    admin(place, "orphans")
    assert "incoming/left" in capsys.readouterr().out
    assert path.exists()
    admin(place, "orphans", "--delete")
    assert not path.exists()
    assert len(filled.get("/api/v1/photos").json()["items"]) == 2


def test_retention(place, filled):
    photo = filled.get("/api/v1/photos").json()["items"][0]["id"]
    with place.database.write() as session:
        old = utcnow() - timedelta(days=31)
        session.execute(update(Photo).where(Photo.id == photo).values(created=old))
    admin(place, "retention", "--days", "30")
    assert [one["id"] for one in filled.get("/api/v1/photos").json()["items"]] != [photo]
    assert len(filled.get("/api/v1/photos").json()["items"]) == 1


@pytest.mark.parametrize("days", ["0", "-30", "nan", "1e9"])
def test_retention_needs_a_number_of_days(lite, capsys, days):
    client = lite.browser("Mina")
    upload(client)
    with pytest.raises(SystemExit):
        admin(lite, "retention", f"--days={days}")
    assert "expected --days above 0 and at most 36500, got " in capsys.readouterr().err
    assert len(client.get("/api/v1/photos").json()["items"]) == 1


def test_what_is_deleted_meanwhile_is_no_error(lite, monkeypatch):
    client = lite.browser("Mina")
    for seed in range(2):
        upload(client, picture(seed=seed))
    inner = removal.delete_photos

    def twice(*given):
        inner(*given)
        inner(*given)

    monkeypatch.setattr(removal, "delete_photos", twice)
    assert removal.delete_old(lite.database, lite.storage, 1e-9) == 0
    assert client.get("/api/v1/photos").json()["items"] == []


@pytest.mark.parametrize("given", [{"keep_days": 1e6}, {"keep_days": math.inf},
                                   {"lease_seconds": math.inf}, {"drawings": {"4": "a"}},
                                   {"scratch_model": "a"}])  # fmt: skip
def test_settings_that_cannot_be(given):
    with pytest.raises(ValidationError):
        Settings(**given)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ALLOWED_HOSTS", "photos.example.org", "expected JSON"),
        ("KEEP_DAY", "30", "got 'FACESKD_STUDIO_KEEP_DAY'"),
        ("SCRATCH_MODEL", "a", "the setting scratch_model: expected old_model, too"),
    ],
)
def test_variables_that_cannot_be_are_said(lite, monkeypatch, capsys, name, value, message):
    monkeypatch.setenv(f"FACESKD_STUDIO_{name}", value)
    with pytest.raises(SystemExit):
        admin(lite, "users", "list")
    assert message in capsys.readouterr().err


def test_a_database_that_cannot_be_opened_is_said(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(
            ["--storage", str(tmp_path), "--database", f"sqlite:///{tmp_path}", "admin", "orphans"]
        )
    assert "unable to open database file" in capsys.readouterr().err


def test_a_backup_of_either_database_is_restored_whole(place, filled, tmp_path):
    path = tmp_path / "backup.tar"
    admin(place, "backup", str(path))
    other = Place(tmp_path / "other", "")
    admin(other, "restore", str(path))
    assert rows(other) == rows(place)
    client = other.browser()
    client.post("/api/v1/session", json={"name": "Mina", "password": PASSWORD})
    for photo in client.get("/api/v1/photos").json()["items"]:
        assert client.get(photo["file"]).status_code == 200
        assert client.get(photo["thumbnail"]).status_code == 200
    with pytest.raises(SystemExit):  # not empty any more
        admin(other, "restore", str(path))
    other.close()


def test_a_photo_whose_file_is_missing_in_the_backup_is_left_out(place, filled, tmp_path):
    path = tmp_path / "backup.tar"
    gone = filled.get("/api/v1/photos").json()["items"][1]
    with place.database.read() as session:
        place.storage.path(session.get(Photo, gone["id"]).file).unlink()
    admin(place, "backup", str(path))
    other = Place(tmp_path / "other", "")
    admin(other, "restore", str(path))
    assert len(json.dumps(rows(other)["photos"])) < len(json.dumps(rows(place)["photos"]))
    assert len(rows(other)["photos"]) == 1
    assert rows(other)["results"] == []
    other.close()


def test_what_is_no_backup_is_refused(lite, tmp_path):
    path = tmp_path / "x.tar"
    with pytest.raises(SystemExit):
        admin(lite, "restore", str(path))
    path.write_bytes(b"no archive")
    with pytest.raises(SystemExit):
        admin(lite, "restore", str(path))
    with tarfile.open(path, "w"):
        pass
    with pytest.raises(SystemExit):
        admin(lite, "restore", str(path))
