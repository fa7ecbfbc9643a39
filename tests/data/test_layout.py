"""The pictures of a table, made from clones of repositories, and folders that are checked."""

import csv
import hashlib
import io
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from helpers.fakes import noise
from PIL import Image

from faceskd.commands import run_command
from faceskd.common.errors import FacesError
from faceskd.data import layout
from faceskd.data.layout import blob_hash, lay_out, make_picture, verify
from faceskd.data.sources import Source, kind_of, read_sources
from faceskd.pretrained import FOLDER

COLUMNS = list(Source.__dataclass_fields__)
FACES = os.environ.get("FACESKD_FACES")


def git(folder, *words):
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *settings, *words], check=True, capture_output=True)


def png(*shape):
    content = io.BytesIO()
    Image.fromarray(noise(*shape)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def clones(tmp_path):
    """A clone of one repository, owner/faces, with two pictures."""
    clone = tmp_path / "clones" / "owner" / "faces"
    (clone / "all").mkdir(parents=True)
    (clone / "all" / "a.png").write_bytes(png(40, 30, 3))
    (clone / "all" / "b.png").write_bytes(png(24, 60, 3))
    git(clone, "init", "-q")
    git(clone, "add", "-A")
    git(clone, "commit", "-qm", "faces")
    return clone.parents[1]


def source(clones, split, name, path, **changes):
    content = (clones / "owner/faces" / path).read_bytes()
    row = {
        "split": split, "name": name, "kind": "photograph", "repository": "owner/faces",
        "revision": "abc", "path": path, "blob": blob_hash(content), "crop": "", "scale": 1.0,
        "licence": "CC0-1.0", "credit": "", "sha256": "",
    } | changes  # fmt: skip
    made = make_picture(content, Source(**row))
    return Source(**row | {"sha256": hashlib.sha256(made).hexdigest()})


@pytest.fixture
def sources(clones):
    return [
        source(clones, "train", "a.jpg", "all/a.png", scale=0.5),
        source(clones, "test", "b.jpg", "all/b.png", crop="10,2,20", scale=0.8, kind="generated"),
    ]


def statuses(checked):
    return {one.place: one.status for one in checked}


def test_crop_then_scale(clones, sources):
    sizes = [
        Image.open(io.BytesIO(make_picture((clones / "owner/faces" / s.path).read_bytes(), s))).size
        for s in sources
    ]
    assert sizes == [(15, 20), (16, 16)]
    ramp = np.tile(np.arange(60, dtype=np.uint8)[None, :, None] * 4, (24, 1, 3))
    content = io.BytesIO()
    Image.fromarray(ramp).save(content, "PNG")
    whole = source(clones, "val", "c.jpg", "all/b.png", crop="10,2,20")
    made = np.array(Image.open(io.BytesIO(make_picture(content.getvalue(), whole))), int)
    assert np.abs(made - ramp[2:22, 10:30]).max() <= 4


def test_pictures_are_laid_out_and_verified(clones, sources, tmp_path):
    out = tmp_path / "out"
    ok = {"train/a.jpg": "ok", "test/b.jpg": "ok"}
    assert statuses(lay_out(clones, out, sources)) == ok
    assert statuses(verify(out, sources)) == ok
    rows = list(csv.DictReader((out / "splits.csv").open()))
    assert rows[1] == {"source": "test/b.jpg", "split": "test", "kind": "generated"}


def test_a_file_that_is_right_is_kept_and_one_that_is_not_is_made_again(clones, sources, tmp_path):
    list(lay_out(clones, tmp_path / "out", sources))
    shutil.rmtree(clones / "owner")
    (tmp_path / "out" / "test" / "b.jpg").write_bytes(b"x")
    told = {one.place: one for one in lay_out(clones, tmp_path / "out", sources)}
    assert told["train/a.jpg"].status == "ok"
    assert told["test/b.jpg"].status == "missing"
    assert "expected a clone of owner/faces" in told["test/b.jpg"].message


def test_an_original_is_found_in_the_history(clones, sources, tmp_path):
    clone = clones / "owner/faces"
    (clone / "all" / "a.png").unlink()
    (clone / "all" / "b.png").write_bytes(png(9, 9, 3))
    git(clone, "commit", "-qam", "changed")
    assert set(statuses(lay_out(clones, tmp_path / "out", sources)).values()) == {"ok"}
    shutil.rmtree(clone / ".git")
    git_gone = statuses(lay_out(clones, tmp_path / "other", sources))
    assert git_gone == {"train/a.jpg": "missing", "test/b.jpg": "changed"}
    assert not list((tmp_path / "other").rglob("*.jpg"))


def test_another_result_is_told(clones, sources, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "QUALITY", 92)
    told = list(lay_out(clones, tmp_path / "out", sources))
    assert {one.status for one in told} == {"differs"}
    assert "expected the SHA-256" in told[0].message


def test_a_folder_with_faults(clones, sources, tmp_path):
    out = tmp_path / "out"
    list(lay_out(clones, out, sources))
    (out / "train" / "a.jpg").unlink()
    (out / "test" / "b.jpg").write_bytes((out / "test" / "b.jpg").read_bytes() + b"x")
    (out / "val").mkdir()
    (out / "val" / "c.jpg").write_bytes(b"c")
    assert statuses(verify(out, sources)) == {
        "train/a.jpg": "missing", "test/b.jpg": "differs", "val/c.jpg": "extra",
    }  # fmt: skip
    with pytest.raises(FacesError, match="expected a folder of faces"):
        list(verify(out / "none", sources))


def test_the_commands(clones, sources, tmp_path, capsys):
    table = tmp_path / "table.tsv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t")
        writer.writeheader()
        writer.writerows(vars(one) for one in sources)
    out, report = tmp_path / "out", tmp_path / "report.csv"
    shared = [f"table={table}", f"report={report}"]
    assert run_command("data layout", [f"clones={clones}", f"out={out}", *shared]) == 0
    (out / "train" / "a.jpg").unlink()
    assert run_command("data verify", [f"faces={out}", *shared]) == 1
    assert "train/a.jpg: missing: there is no such file" in capsys.readouterr().out
    rows = list(csv.DictReader(report.open()))
    assert [row["status"] for row in rows] == ["missing", "ok"]


# The package's own table.


def test_the_package_s_table():
    table = read_sources()
    assert len({one.place for one in table}) == len(table) == 861
    counts = {
        (split, kind): sum((one.split, one.kind) == (split, kind) for one in table)
        for split in ("train", "val", "test")
        for kind in ("photograph", "generated")
    }
    assert list(counts.values()) == [552, 135, 46, 19, 70, 39]
    assert all(len(one.blob) == 40 and len(one.sha256) == 64 for one in table)
    assert all(bool(one.credit) == one.licence.startswith("CC-BY") for one in table)


def test_every_credit_of_the_table_is_in_the_notice():
    notice = (FOLDER / "NOTICE").read_text()
    for one in read_sources():
        assert not one.credit or one.credit.rpartition("?id=")[2] in notice


def test_a_kind_is_known_by_content(clones, sources, tmp_path, monkeypatch):
    table = {one.sha256: one.kind for one in sources}
    monkeypatch.setattr("faceskd.data.sources._kinds", lambda: table)
    list(lay_out(clones, tmp_path / "out", sources))
    (tmp_path / "out/test/b.jpg").rename(tmp_path / "a.jpg")
    assert kind_of(tmp_path / "out/train/a.jpg") == "photograph"
    assert kind_of(tmp_path / "a.jpg") == "generated"
    (tmp_path / "a.jpg").write_bytes(b"a")
    assert kind_of(tmp_path / "a.jpg") == ""


@pytest.mark.skipif(not FACES, reason="FACESKD_FACES names no folder")
def test_the_faces_of_the_setting_are_those_of_the_table():
    if not Path(FACES, "SOURCES.tsv").is_file():
        pytest.skip("FACESKD_FACES names another folder")
    told = [one for one in verify(FACES, read_sources()) if one.status != "ok"]
    assert told == []
    assert kind_of(Path(FACES, "test/synthetic-f-03.jpg")) == "generated"
    assert kind_of(Path(FACES, "test/congress-0006.jpg")) == "photograph"


@pytest.mark.parametrize("content", ["", "split\tname\na\tb\n", "\x00"])
def test_a_damaged_table(tmp_path, content):
    (tmp_path / "t.tsv").write_text(content)
    with pytest.raises(FacesError, match="cannot read the table of faces"):
        read_sources(tmp_path / "t.tsv")
    with pytest.raises(FacesError, match="cannot read the table of faces"):
        read_sources(tmp_path / "none.tsv")
