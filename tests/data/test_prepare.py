"""Photos to prepared faces: every file gets its row, whatever it is."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_photos import run, save
from PIL import Image

from faceskd.common.errors import ConfigError
from faceskd.common.images import read_image
from faceskd.data.manifest import read_manifest
from faceskd.faces.align import (
    AlignedCrop,
    BoxCrop,
    box_crop,
    similarity_crop,
    template,
    transform_points,
)
from faceskd.faces.components import boxes_from_landmarks, five_points
from faceskd.faces.detection import MTCNNDetector
from faceskd.portraits import render_portrait

FACES = os.environ.get("FACESKD_FACES")


@pytest.fixture(scope="module")
def portrait():
    return np.array(render_portrait(0, size=384).image)


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
    assert statuses["small.png"] == "too_small" and "px high" in records["small.png"].message
    assert statuses["empty wall.png"] == statuses["pixel.png"] == "no_face"
    for name in ("nothing.jpg", "text.png", "half.png"):
        assert statuses[name] == "unreadable" and records[name].message
    assert "2 faces" in records["two.png"].message
    assert summary.failed and summary.statuses["unreadable"] == 3
    assert (height, width) == (384, 384)


def test_landmarks_and_boxes_are_where_the_faces_were_drawn(tmp_path):
    """The error of prepare in pixels of 256: 12 people, whose landmarks are known exactly."""
    drawn = {f"{number:02}.png": render_portrait(number, number % 2) for number in range(12)}
    for name, portrait in drawn.items():
        save(tmp_path / "src" / name, portrait.image)
    run(tmp_path / "src", tmp_path / "dst", splits={"train": 1.0})
    points, boxes = [], []
    for record in read_manifest(tmp_path / "dst", "train"):
        portrait = drawn[record.source]
        (found,) = MTCNNDetector().detect(portrait.image)
        crop, matrix = similarity_crop(portrait.image, found.landmarks)
        np.testing.assert_array_equal(read_image(tmp_path / "dst" / record.face), crop)
        exact = transform_points(portrait.landmarks + 0.5, matrix)
        points.append(np.array(record.landmarks) - five_points(exact))
        boxes.append(np.array(record.boxes) - boxes_from_landmarks(exact))
        expected = boxes_from_landmarks(np.array(record.landmarks))
        np.testing.assert_allclose(record.boxes, expected, atol=0.01)
    assert len(points) == 12
    away = np.linalg.norm(points, axis=-1)
    assert away.mean() < 4.9
    assert np.median(away) < 3.8
    assert away.max() < 18
    moved = np.reshape(boxes, (12, 4, 2, 2)).mean(2)  # of the centre
    assert np.linalg.norm(moved, axis=-1).mean() < 5.4


def test_a_turned_photo_gives_the_same_crop(tmp_path, portrait):
    turned = np.array(Image.fromarray(portrait).rotate(20, Image.Resampling.BICUBIC))
    save(tmp_path / "src" / "a.png", turned)
    save(tmp_path / "src" / "b.png", portrait)
    run(tmp_path / "src", tmp_path / "dst", splits={"train": 1.0})
    away = np.subtract(*(record.landmarks for record in read_manifest(tmp_path / "dst", "train")))
    assert np.linalg.norm(away, axis=-1).mean() < 2.1


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


def test_the_square_around_a_box(tmp_path, portrait):
    turned = np.array(Image.fromarray(portrait).rotate(10, Image.Resampling.BICUBIC))
    save(tmp_path / "src" / "a.png", turned)
    (record,) = run(tmp_path / "src", tmp_path / "dst", crop=BoxCrop()).records
    (found,) = MTCNNDetector().detect(turned)
    crop, matrix = box_crop(turned, found.box, 256)
    np.testing.assert_array_equal(read_image(tmp_path / "dst" / record.face), crop)
    expected = transform_points(found.landmarks, matrix)
    np.testing.assert_allclose(record.landmarks, expected, atol=0.01)


def test_aligned_faces_are_only_resized(tmp_path, portrait):
    crop = np.array(Image.fromarray(portrait).resize((256, 256)))
    save(tmp_path / "src" / "face.png", crop)
    save(tmp_path / "src" / "blank.png", np.full((256, 256, 3), 90, np.uint8))
    save(tmp_path / "src" / "wide.png", np.full((256, 300, 3), 90, np.uint8))
    save(tmp_path / "src" / "tiny.png", np.full((32, 32, 3), 90, np.uint8))
    summary = run(tmp_path / "src", tmp_path / "dst", crop=AlignedCrop())
    records = {record.source: record for record in summary.records}
    np.testing.assert_array_equal(read_image(tmp_path / "dst" / records["face.png"].face), crop)
    assert records["face.png"].message == ""
    np.testing.assert_allclose(records["blank.png"].landmarks, template(256), atol=1e-3)
    assert "template" in records["blank.png"].message
    assert "central square" in records["wide.png"].message
    assert records["tiny.png"].status == "too_small"


def test_no_face_at_all_fails_and_dropped_faces_do_not(tmp_path, portrait):
    save(tmp_path / "src" / "wall.png", np.full((300, 300, 3), 180, np.uint8))
    assert run(tmp_path / "src", tmp_path / "dst").failed
    save(tmp_path / "src" / "face.png", portrait)
    assert not run(tmp_path / "src", tmp_path / "dst").failed


@pytest.mark.slow
def test_processes_give_the_same_as_one(tmp_path, portrait):
    for number in range(3):
        save(tmp_path / "src" / f"{number}.png", portrait[:, number:])
    one = run(tmp_path / "src", tmp_path / "one", processes=1)
    two = run(tmp_path / "src", tmp_path / "two", processes=2)
    assert [(r.source, r.status) for r in one.records] == [(r.source, "ok") for r in two.records]
    for a, b in zip(one.records, two.records, strict=True):
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=0.05)


@pytest.mark.skipif(not FACES, reason="FACESKD_FACES (a folder of real photos) is not set")
def test_real_portraits(tmp_path):
    src = tmp_path / "src"
    src.mkdir()
    for path in sorted((Path(FACES) / "test").glob("*.jpg"))[:12]:
        (src / path.name).symlink_to(path)
    summary = run(src, tmp_path / "dst", min_face=256)
    assert summary.statuses == {"ok": 12}
    for record in summary.records:
        away = np.linalg.norm(np.array(record.landmarks) - template(256), axis=-1)
        assert away.mean() < 8 and away.max() < 13, record.source


def test_results_below_the_photos_are_no_photos(tmp_path, portrait):
    save(tmp_path / "photos/a.png", portrait)
    first = run(tmp_path / "photos", tmp_path / "photos/faces")
    again = run(tmp_path / "photos", tmp_path / "photos/faces")
    assert [record.source for record in again.records] == ["a.png"]
    assert again.records == first.records
    with pytest.raises(ConfigError, match="expected dst as another folder than src"):
        run(tmp_path / "photos", tmp_path / "photos")
    with pytest.raises(ConfigError, match="src not inside it"):
        run(tmp_path / "photos", tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"processes": "auto"}, {"processes": 0}, {"min_face": None}, {"size": None}]
)
def test_settings_that_are_no_numbers(tmp_path, portrait, wrong):
    save(tmp_path / "photos/a.png", portrait)
    with pytest.raises(ConfigError, match=f"expected {next(iter(wrong))} as a whole number"):
        run(tmp_path / "photos", tmp_path / "faces", **wrong)
    assert not (tmp_path / "faces").exists()
