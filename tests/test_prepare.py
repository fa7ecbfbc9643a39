"""Photos to prepared faces: every file gets its row, whatever it is, and runs can be resumed."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from faceskd.align import AlignedCrop, BoxCrop, SimilarityCrop, template
from faceskd.components import boxes_from_landmarks
from faceskd.detection import Face, MTCNNDetector
from faceskd.errors import ConfigError, FacesError, FaceskdError
from faceskd.images import read_image
from faceskd.manifest import read_manifest
from faceskd.portraits import render_portrait
from faceskd.prepare import crop_names, prepare
from faceskd.splits import SPLITS, Place, assign, draw

MIN_FACE = 120
FACES = os.environ.get("FACESKD_FACES")


@pytest.fixture(scope="module")
def portrait():
    return np.array(render_portrait(0, size=384).image)


def run(src, dst, **options):
    options = {"min_face": MIN_FACE, "processes": 1, "progress": False, **options}
    return prepare(src, dst, **options)


def save(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


class FixedDetector:
    """Finds one face in every picture, where it is told to; counts its work."""

    min_face = 10

    def __init__(self):
        self.calls = 0

    def __repr__(self):
        return "FixedDetector()"

    def fetch(self):
        pass

    def detect(self, image):
        self.calls += 1
        side = min(image.shape[:2])
        box = np.array([0, 0, side, side], np.float32)
        return [Face(box, template(side).astype(np.float32), 1.0)]


@pytest.fixture
def photos(tmp_path):
    """Six small pictures of three persons."""
    rng = np.random.default_rng(0)
    for person in ("ann", "bob", "eve"):
        for number in (1, 2):
            picture = rng.integers(0, 256, (150, 140, 3), dtype=np.uint8)
            save(tmp_path / "photos" / person / f"{number}.png", picture)
    return tmp_path / "photos"


def test_every_file_has_its_row(tmp_path, portrait):
    src, dst = tmp_path / "src", tmp_path / "dst"
    height, width = portrait.shape[:2]
    save(src / "good.png", portrait)
    save(src / "two words.jpg", portrait)
    save(src / "лицо 顔.png", portrait)
    save(src / "good.jpg", portrait)
    save(src / "two.png", np.hstack([portrait, portrait[:, ::-1]]))
    save(src / "small.png", np.array(Image.fromarray(portrait).resize((192, 192))))
    save(src / "empty wall.png", np.full((300, 300, 3), 180, np.uint8))
    save(src / "pixel.png", np.zeros((1, 1, 3), np.uint8))
    (src / "nothing.jpg").write_bytes(b"")
    (src / "text.png").write_text("no image")
    (src / "half.png").write_bytes((src / "good.png").read_bytes()[:4000])

    summary = run(src, dst)

    records = {record.source: record for record in read_manifest(dst)}
    assert set(records) == {path.name for path in src.iterdir()}
    statuses = {name: record.status for name, record in records.items()}
    for name in ("good.png", "good.jpg", "two words.jpg", "лицо 顔.png", "two.png"):
        assert statuses[name] == "ok", records[name]
        assert read_image(dst / records[name].face).shape == (256, 256, 3)
    assert len({record.face for record in records.values() if record.face}) == 5
    assert statuses["small.png"] == "too_small" and "px high" in records["small.png"].detail
    assert statuses["empty wall.png"] == statuses["pixel.png"] == "no_face"
    for name in ("nothing.jpg", "text.png", "half.png"):
        assert statuses[name] == "unreadable" and records[name].detail
    assert "2 faces" in records["two.png"].detail
    assert summary.failed and summary.statuses["unreadable"] == 3
    assert (height, width) == (384, 384)


def test_landmarks_and_boxes_are_in_pixels_of_the_crop(tmp_path, portrait):
    turned = np.array(Image.fromarray(portrait).rotate(20, Image.Resampling.BICUBIC))
    save(tmp_path / "src" / "a.png", turned)
    run(tmp_path / "src", tmp_path / "dst", splits={"train": 1.0})
    (record,) = read_manifest(tmp_path / "dst", "train")
    landmarks = np.array(record.landmarks)
    assert np.abs(landmarks - template(256)).max() < 20
    expected = boxes_from_landmarks(landmarks)
    np.testing.assert_allclose(record.boxes, expected, atol=0.01)
    found = MTCNNDetector().detect(read_image(tmp_path / "dst" / record.face))
    assert np.abs(found[0].landmarks - landmarks).max() < 12


def test_a_photo_turned_by_exif_is_upright(tmp_path, portrait):
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "src" / "a.jpg", np.rot90(portrait), exif=exif)
    assert not run(tmp_path / "src", tmp_path / "dst").failed


def test_all_faces_of_a_picture(tmp_path, portrait):
    save(tmp_path / "src" / "two.png", np.hstack([portrait, portrait]))
    summary = run(tmp_path / "src", tmp_path / "dst", faces="all")
    assert summary.statuses == {"ok": 2}
    assert len({record.face for record in summary.records}) == 2


def test_box_crop_and_no_upright_turn(tmp_path, portrait):
    save(tmp_path / "src" / "a.png", portrait)
    (upright,) = run(tmp_path / "src", tmp_path / "a").records
    (boxed,) = run(tmp_path / "src", tmp_path / "b", crop=BoxCrop()).records
    assert boxed.landmarks != upright.landmarks
    assert np.all((np.array(boxed.landmarks) > 0) & (np.array(boxed.landmarks) < 256))


def test_aligned_faces_are_only_resized(tmp_path, portrait):
    crop = np.array(Image.fromarray(portrait).resize((256, 256)))
    save(tmp_path / "src" / "face.png", crop)
    save(tmp_path / "src" / "blank.png", np.full((256, 256, 3), 90, np.uint8))
    save(tmp_path / "src" / "wide.png", np.full((256, 300, 3), 90, np.uint8))
    save(tmp_path / "src" / "tiny.png", np.full((32, 32, 3), 90, np.uint8))
    summary = run(tmp_path / "src", tmp_path / "dst", crop=AlignedCrop())
    records = {record.source: record for record in summary.records}
    np.testing.assert_array_equal(read_image(tmp_path / "dst" / records["face.png"].face), crop)
    assert records["face.png"].detail == ""
    np.testing.assert_allclose(records["blank.png"].landmarks, template(256), atol=1e-3)
    assert "template" in records["blank.png"].detail
    assert "central square" in records["wide.png"].detail
    assert records["tiny.png"].status == "too_small"


def test_no_face_at_all_fails_and_dropped_faces_do_not(tmp_path, portrait):
    save(tmp_path / "src" / "wall.png", np.full((300, 300, 3), 180, np.uint8))
    assert run(tmp_path / "src", tmp_path / "dst").failed
    save(tmp_path / "src" / "face.png", portrait)
    assert not run(tmp_path / "src", tmp_path / "dst").failed


def test_a_second_call_does_only_what_is_missing(tmp_path, photos):
    dst, detector = tmp_path / "dst", FixedDetector()
    first = run(photos, dst, detector=detector)
    assert detector.calls == 6 and first.resumed == 0
    manifest = (dst / "manifest.csv").read_bytes()
    second = run(photos, dst, detector=detector)
    assert detector.calls == 6 and second.resumed == 6
    assert (dst / "manifest.csv").read_bytes() == manifest
    (dst / first.records[0].face).unlink()
    save(photos / "bob" / "1.png", np.zeros((200, 200, 3), np.uint8))
    save(photos / "new" / "1.png", np.zeros((200, 200, 3), np.uint8))
    third = run(photos, dst, detector=detector)
    assert detector.calls == 9 and third.resumed == 4 and third.statuses == {"ok": 7}


def test_a_torn_journal_is_gone_on_with(tmp_path, photos):
    dst, detector = tmp_path / "dst", FixedDetector()
    whole = run(photos, dst, detector=detector)
    journal = dst / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:-2]) + lines[-2][:50])
    assert run(photos, dst, detector=detector).resumed == 4
    after = run(photos, dst, detector=detector)
    assert after.resumed == 6 and after.records == whole.records


def test_a_broken_off_run_keeps_what_is_done(tmp_path, photos):
    class Stops(FixedDetector):
        def detect(self, image):
            if self.calls == 4:
                raise KeyboardInterrupt
            return super().detect(image)

    with pytest.raises(KeyboardInterrupt):
        run(photos, tmp_path / "dst", detector=Stops())
    assert run(photos, tmp_path / "dst", detector=FixedDetector()).resumed == 4


def test_a_repaired_file_is_tried_again(tmp_path, photos):
    path = photos / "ann" / "1.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    assert run(photos, tmp_path / "dst", detector=FixedDetector()).statuses["unreadable"] == 1
    path.write_bytes(whole)
    assert run(photos, tmp_path / "dst", detector=FixedDetector()).statuses == {"ok": 6}


def test_other_settings_are_refused_or_redone(tmp_path, photos):
    dst = tmp_path / "dst"
    run(photos, dst, detector=FixedDetector())
    with pytest.raises(ConfigError, match=r"template_scale=1\.1.*overwrite"):
        run(photos, dst, detector=FixedDetector(), crop=SimilarityCrop(template_scale=1.1))
    detector = FixedDetector()
    run(photos, dst, detector=detector, crop=SimilarityCrop(template_scale=1.1), overwrite=True)
    assert detector.calls == 6


@pytest.mark.slow
def test_processes_give_the_same_as_one(tmp_path, portrait):
    for number in range(3):
        save(tmp_path / "src" / f"{number}.png", portrait[:, number:])
    one = run(tmp_path / "src", tmp_path / "one", processes=1)
    two = run(tmp_path / "src", tmp_path / "two", processes=2)
    assert [(r.source, r.status) for r in one.records] == [(r.source, "ok") for r in two.records]
    for a, b in zip(one.records, two.records, strict=True):
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=0.05)


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path, photos):
    (tmp_path / "file").write_text("")
    detector = FixedDetector()
    with pytest.raises(FaceskdError, match="cannot write"):
        run(photos, tmp_path / "file" / "dst", detector=detector)
    assert detector.calls == 0


@pytest.mark.parametrize(
    "options",
    [
        {"min_face": 0},
        {"min_face": 20},
        {"faces": "some"},
        {"processes": 0},
        {"splits": {"train": 0.5}},
        {"splits": {"training": 1.0}},
        {"crop": SimilarityCrop(template_scale=99)},
    ],
)
def test_settings_without_sense_are_refused(tmp_path, photos, options):
    with pytest.raises(ConfigError):
        run(photos, tmp_path / "dst", **options)
    assert not (tmp_path / "dst" / "manifest.csv").exists()


def test_splits_given_by_folders():
    places = assign(["train/a.png", "val/b.png", "test/c.png", "train/a.jpg"])
    assert places["train/a.png"] == places["train/a.jpg"] == Place("train", "a")
    assert places["test/c.png"] == Place("test", "c")
    with pytest.raises(FacesError, match="'ann' is in the splits"):
        assign(["train/ann/1.png", "train/bob/1.png", "val/ann/2.png"])
    with pytest.raises(FacesError, match="in none"):
        assign(["train/a.png", "b.png"])


def test_identities_by_folder_or_file():
    sources = ["ann/1.png", "ann/2.png", "bob/1.png"]
    identities = [place.identity for place in assign(sources).values()]
    assert identities == ["ann", "ann", "bob"]
    one_folder = assign(["photos/1.png", "photos/2.png"])
    assert [place.identity for place in one_folder.values()] == ["1", "2"]
    forced = assign(["photos/1.png", "photos/2.png"], identity_by="folder")
    assert {place.identity for place in forced.values()} == {"photos"}


def test_splits_given_by_a_file(tmp_path):
    path = tmp_path / "splits.csv"

    def write(*rows):
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)

    write(["source", "split", "identity"], ["a.png", "val", "ann"], ["b.png", "", "bob"])
    places = assign(["a.png", "b.png"], split_file=path)
    assert places == {"a.png": Place("val", "ann"), "b.png": Place(draw("bob"), "bob")}
    with pytest.raises(FacesError, match=r"no row for 'c\.png'"):
        assign(["a.png", "c.png"], split_file=path)
    write(["source", "split"], ["a.png", "training"])
    with pytest.raises(FacesError, match="training"):
        assign(["a.png"], split_file=path)
    write(["source", "split", "identity"], ["a.png", "val", "x"], ["b.png", "test", "x"])
    with pytest.raises(FacesError, match="'x' is in the splits"):
        assign(["a.png", "b.png"], split_file=path)
    write(["file", "split"], ["a.png", "val"])
    with pytest.raises(FacesError, match="column source"):
        assign(["a.png"], split_file=path)
    with pytest.raises(FacesError, match="cannot read"):
        assign(["a.png"], split_file=tmp_path / "none.csv")


names = st.text("abé 顔_-", min_size=1, max_size=4)
paths = st.lists(st.tuples(names, names, st.sampled_from(["png", "JPG"])), min_size=1, unique=True)


@given(paths)
def test_identities_never_share_splits_and_names_never_collide(parts):
    sources = [f"{folder}/{stem}.{suffix}" for folder, stem, suffix in parts]
    places = assign(sources)
    splits = {}
    for place in places.values():
        assert splits.setdefault(place.identity, place.split) == place.split
    crops = crop_names(places)
    assert len({name.casefold() for name in crops.values()}) == len(sources)


def test_drawn_shares_are_what_was_asked_for():
    drawn = [draw(str(number), {"train": 0.7, "val": 0.1, "test": 0.2}) for number in range(20_000)]
    shares = [drawn.count(split) / len(drawn) for split in SPLITS]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.02)


@pytest.mark.skipif(not FACES, reason="FACESKD_FACES (a folder of real photos) is not set")
def test_real_portraits(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    for path in sorted((Path(FACES) / "test").glob("*.jpg"))[:12]:
        (src / path.name).symlink_to(path)
    summary = run(src, tmp_path / "dst", min_face=256)
    assert summary.statuses == {"ok": 12}
    for record in summary.records:
        assert np.abs(np.array(record.landmarks) - template(256)).max() < 25
