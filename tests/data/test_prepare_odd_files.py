"""Folders with files that are damaged, rare, or no images: each has its row in the manifest."""

import csv
import os
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.tiny_photos import run, save
from PIL import Image

from faceskd.common.errors import DiskFullError
from faceskd.common.images import read_image, write_image
from faceskd.data.manifest import read_manifest
from faceskd.faces.align import template
from faceskd.faces.detection import Face


class OneFace:
    """Finds one face that fills every picture; raises where it is told to."""

    min_face = 10

    def __init__(self, raised=None):
        self.raised = raised

    def __repr__(self):
        return "OneFace()"

    def fetch(self):
        pass

    def detect(self, image):
        if self.raised is not None and image[0, 0, 0] == 66:
            raise self.raised
        side = min(image.shape[:2])
        box = np.array([0, 0, side, side], np.float32)
        return [Face(box, template(side).astype(np.float32), 1.0)]


def picture(seed=0):
    return np.random.default_rng(seed).integers(70, 256, (150, 140, 3), dtype=np.uint8)


@pytest.fixture
def src(tmp_path):
    for number, name in enumerate("abc"):
        save(tmp_path / "src" / f"{name}.png", picture(number))
    return tmp_path / "src"


@pytest.fixture
def dst(tmp_path):
    return tmp_path / "dst"


def statuses(dst):
    return {record.source: record.status for record in read_manifest(dst)}


def test_every_file_has_a_row(src, dst, tmp_path):
    entry = struct.pack(">HHHL4sL", 1, 282, 2, 3, b"72\0\0", 0)  # a resolution that is text
    save(src / "exif.jpg", picture(), exif=b"Exif\0\0MM\0*\0\0\0\x08" + entry)
    for name in ("d.avif", "e.webp"):
        save(src / name, picture())
    save(src / "f.jpe", picture(), format="JPEG")
    save(tmp_path / "album/g.png", picture())
    (src / "linked").symlink_to("../album")
    (src / "again").symlink_to("linked")
    (src / "broken.heic").write_bytes(b"\0\0\0\x18ftypheic")
    for name in ("raw.cr2", "clip.mp4", "notes.txt", "Thumbs.db"):
        (src / name).write_bytes(b"text")
    summary = run(src, dst, detector=OneFace())
    good = ("a.png", "b.png", "c.png", "d.avif", "e.webp", "exif.jpg", "f.jpe", "again/g.png")
    assert statuses(dst) == dict.fromkeys(good, "ok") | {
        "broken.heic": "unreadable",
        "raw.cr2": "unreadable",
        "clip.mp4": "unsupported",
        "notes.txt": "unsupported",
        "linked": "duplicate",
    }
    assert summary.failed and summary.statuses["ok"] == len(good)


def test_what_is_no_image_does_not_make_it_fail(src, dst):
    (src / "notes.txt").write_text("text")
    (src / "clip.mp4").write_text("text")
    assert not run(src, dst, detector=OneFace()).failed


@pytest.mark.parametrize(
    "raised", [MemoryError(), RuntimeError("x"), RecursionError(), struct.error("x")], ids=repr
)
def test_whatever_is_raised_costs_one_row_and_is_tried_again(src, dst, raised):
    bad = picture(1)
    bad[0, 0] = 66
    save(src / "b.png", bad)
    assert run(src, dst, detector=OneFace(raised)).failed
    assert statuses(dst) == {"a.png": "ok", "b.png": "failed", "c.png": "ok"}
    second = run(src, dst, detector=OneFace())
    assert (second.resumed, second.failed) == (2, False)


def test_a_face_that_cannot_be_written_costs_one_row(src, dst):
    (dst / "train/b.png").mkdir(parents=True)
    run(src, dst, detector=OneFace(), splits={"train": 1.0})
    assert statuses(dst) == {"a.png": "ok", "b.png": "unwritable", "c.png": "ok"}


def test_a_full_disk_ends_the_run_and_the_next_one_continues(src, dst, monkeypatch):
    def write_until_full(path, image):
        if path.name == "b.png":
            raise DiskFullError("full")
        write_image(path, image)

    with monkeypatch.context() as patch:
        patch.setattr("faceskd.data.picture.write_image", write_until_full)
        with pytest.raises(DiskFullError):
            run(src, dst, detector=OneFace())
    assert statuses(dst) == {"a.png": "ok", "b.png": "stopped", "c.png": "stopped"}
    assert run(src, dst, detector=OneFace()).resumed == 1


def test_what_was_lost_is_said(src, dst):
    pages = [Image.fromarray(picture(number)) for number in range(3)]
    pages[0].save(src / "a.tif", save_all=True, append_images=pages[1:])
    grey = np.linspace(0, 1.02, 150 * 140, dtype=np.float32).reshape(150, 140)
    Image.fromarray(grey).save(src / "b.tif")
    run(src, dst, detector=OneFace())
    messages = {record.source: record.message for record in read_manifest(dst)}
    assert messages["a.tif"] == "only the first of 3 pages was read"
    assert messages["b.tif"] == "32 bits a channel were reduced to 8, 1 as white"
    (record,) = [record for record in read_manifest(dst) if record.source == "b.tif"]
    assert 100 < read_image(dst / record.face).mean() < 155


def test_names_that_are_no_text_or_too_long(src, dst):
    save(src / os.fsdecode(b"m\xfcller.png"), picture())
    for index in range(2):
        save(src / (f"{'x' * 240}{index}.png"), picture(index))
    run(src, dst, detector=OneFace())
    assert set(statuses(dst).values()) == {"ok"}
    assert "m%FCller.png" in statuses(dst)
    (dst / "manifest.csv").read_text(encoding="utf-8")
    faces = {record.face for record in read_manifest(dst)}
    assert len(faces) == 6 and all((dst / face).is_file() for face in faces)


def test_stopped_what_is_done_is_in_the_manifest(src, dst):
    bad = picture(1)
    bad[0, 0] = 66
    save(src / "b.png", bad)
    with pytest.raises(KeyboardInterrupt):
        run(src, dst, detector=OneFace(KeyboardInterrupt()))
    assert statuses(dst) == {"a.png": "ok", "b.png": "stopped", "c.png": "stopped"}
    assert run(src, dst, detector=OneFace()).resumed == 1
    assert set(statuses(dst).values()) == {"ok"}


@pytest.mark.slow
def test_ctrl_c_ends_the_command_with_its_manifest(tmp_path):
    """The signal reaches the whole group of processes, as in a terminal."""
    for index in range(40):
        save(tmp_path / "src" / f"{index}.png", picture(index).repeat(8, 0).repeat(8, 1))
    dst = tmp_path / "dst"
    process = subprocess.Popen(
        [sys.executable, "-m", "faceskd", "prepare", f"src={tmp_path / 'src'}", f"dst={dst}",
         "processes=2", "landmarks.min_face=20", "min_face=20"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    journal = dst / "journal.jsonl"
    while process.poll() is None and not (
        journal.is_file() and journal.read_text().count("\n") > 3
    ):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert b"stopped" in errors and b"Traceback" not in errors
    with (dst / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert {"no_face", "stopped"} == {row["status"] for row in rows}


def test_two_rows_of_a_split_file_that_differ_are_refused(src, dst, tmp_path):
    from faceskd.common.errors import FacesError

    table = tmp_path / "splits.csv"
    table.write_text("source,split\na.png,train\nb.png,val\nc.png,test\na.png,train\n")
    run(src, dst, detector=OneFace(), split_file=table)
    table.write_text("source,split\na.png,train\nb.png,val\nc.png,test\na.png,test\n")
    with pytest.raises(FacesError, match=r"two different rows for 'a\.png'"):
        run(src, dst, detector=OneFace(), split_file=table)
