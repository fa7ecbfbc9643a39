"""The synthetic portraits: their landmarks are where things are drawn, and they repeat."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.images import read_image
from faceskd.portraits import draw, portrait_landmarks, render_portrait, write_portraits
from faceskd.portraits.canvas import Canvas, ellipse, smooth
from faceskd.portraits.folder import assign_splits
from faceskd.portraits.hair import STYLES
from faceskd.portraits.person import LONG_STYLES, SHORT_STYLES, Photo, sample_person, sample_photo

EYES = (slice(36, 42), slice(42, 48))
# iBUG 300-W: the point that each point becomes when the picture is mirrored.
MIRRORED = [
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
]


@settings(max_examples=12, deadline=None)
@given(identity=st.integers(0, 2**62), photo=st.integers(0, 2**31), size=st.integers(128, 200))
def test_every_number_gives_a_valid_portrait(identity, photo, size):
    portrait = render_portrait(identity, photo, size=size)
    assert portrait.image.shape == (size, size, 3)
    assert portrait.image.dtype == np.uint8
    assert portrait.image.std() > 10
    assert portrait.landmarks.dtype == np.float32
    np.testing.assert_array_equal(
        portrait.landmarks, portrait_landmarks(identity, photo, size=size)
    )


@settings(max_examples=300, deadline=None)
@given(identity=st.integers(0, 2**62), photo=st.integers(0, 2**31))
@example(identity=431337, photo=431337)  # leans in at an ear
def test_landmarks_lie_in_the_image_and_in_order(identity, photo):
    points = portrait_landmarks(identity, photo)
    assert points.shape == (68, 2)
    assert points.min() > 0
    assert points.max() < 511
    left, right = (points[eye].mean(axis=0) for eye in EYES)
    turn = np.arctan2(*(right - left)[::-1])
    upright = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    x, y = upright.T
    assert np.all(np.diff(x[2:15]) > 0), "the jaw runs from left to right, but beside the ears"
    assert np.all(np.diff(x[17:27]) > 0), "so do the brows"
    assert np.all(np.diff(y[27:31]) > 0), "the bridge runs down"
    assert y[17:22].mean() < y[36:42].mean() < y[30] < y[33] < y[51] < y[57] < y[8]
    assert np.all(y[[61, 62, 63]] <= y[[67, 66, 65]] + 1e-3), "inner lips do not cross"
    assert np.all(y[[37, 38, 43, 44]] < y[[41, 40, 47, 46]]), "lids do not cross"
    assert 0.33 < np.ptp(points[:, 1]) / 512 < 0.55, "from brows to chin, as in a portrait photo"


def test_portraits_repeat_and_differ():
    first = render_portrait(3, 1, size=160)
    np.testing.assert_array_equal(first.image, render_portrait(3, 1, size=160).image)
    assert not np.array_equal(first.image, render_portrait(3, 2, size=160).image)
    assert not np.array_equal(first.image, render_portrait(4, 1, size=160).image)
    assert first.identity == render_portrait(3, 2, size=160).identity
    assert first.identity != render_portrait(4, 1, size=160).identity


def test_landmarks_scale_with_the_picture():
    np.testing.assert_allclose(
        portrait_landmarks(5, size=512), 2 * portrait_landmarks(5, size=256), rtol=1e-5
    )


def test_a_frontal_face_is_symmetric():
    person = sample_person(0)
    points = draw(person, Photo(centre=(0.5, 0.5)), size=128).landmarks
    np.testing.assert_allclose(points[MIRRORED], points * (-1, 1) + (128, 0), atol=1e-3)


@pytest.mark.parametrize("name", ["yaw", "pitch"])
def test_a_turn_moves_the_nose_more_than_the_jaw(name):
    person = sample_person(1)
    axis = ("yaw", "pitch").index(name)
    front = draw(person, Photo(), size=128).landmarks
    turned = draw(person, replace(Photo(), **{name: 0.15}), size=128).landmarks
    moved = (turned - front)[:, axis]
    assert moved[30] > 3 * abs(moved[[0, 8, 16]]).max()
    assert moved[30] > 1


def test_iris_and_lips_are_drawn_at_their_landmarks():
    person = replace(
        sample_person(2), skin=(0.8, 0.62, 0.5), iris=(0.1, 0.3, 0.9), lip_paint=1.0,
        glasses="none", beard="none", hairstyle="bald",
    )  # fmt: skip
    portrait = draw(person, Photo(ambient=0.9), size=512)
    red, green, blue = portrait.image.astype(int).transpose(2, 0, 1)
    points = portrait.landmarks
    is_iris = blue > red + 40
    for eye in EYES:
        inside = np.zeros(is_iris.shape, np.uint8)
        cv2.fillPoly(inside, [np.round(points[eye]).astype(np.int32)], 1)
        near = np.zeros(is_iris.shape, bool)
        x, y = points[eye].mean(axis=0).round().astype(int)
        near[y - 30 : y + 30, x - 40 : x + 40] = True
        rows, columns = np.nonzero(is_iris & near)
        assert len(rows) > 60
        assert np.hypot(columns.mean() - x, rows.mean() - y) < 6
        grown = cv2.dilate(inside, np.ones((5, 5), np.uint8))
        assert grown[rows, columns].all(), "no iris outside the lids"
        assert portrait.image[y - 8 : y + 8, x - 8 : x + 8].max(axis=2).min() < 40, "a pupil"
    is_lip = (red - green > 75) & (blue < 130)
    outer = np.zeros(is_lip.shape, np.uint8)
    cv2.fillPoly(outer, [np.round(points[48:60]).astype(np.int32)], 1)
    left, top = points[48:60].min(axis=0).astype(int) - 20
    right, bottom = points[48:60].max(axis=0).astype(int) + 20
    lips, mouth = (part[top:bottom, left:right].astype(bool) for part in (is_lip, outer))
    assert (lips & mouth).sum() / (lips | mouth).sum() > 0.8


def test_every_hairstyle_and_beard_can_be_drawn():
    assert {*SHORT_STYLES, *LONG_STYLES} == {*STYLES, "bald"}
    person, photo = sample_person(0), sample_photo(0, 0)
    bald = draw(replace(person, hairstyle="bald"), photo, size=128).image
    for style in STYLES:
        assert (draw(replace(person, hairstyle=style), photo, size=128).image != bald).any()
    bare = draw(replace(person, beard="none"), photo, size=128).image
    for beard in ("stubble", "moustache", "goatee", "full"):
        assert (draw(replace(person, beard=beard), photo, size=128).image != bare).any()


@pytest.mark.parametrize("numbers", [(-1, 0, 256), (0, -1, 256), (0, 0, 100)])
def test_numbers_out_of_range_are_refused(numbers):
    identity, photo, size = numbers
    with pytest.raises(ConfigError, match="expected"):
        render_portrait(identity, photo, size=size)


def test_a_smooth_curve_goes_through_its_points():
    points = np.array([[0, 0], [3, 1], [4, 5], [9, 2]], np.float32)
    np.testing.assert_allclose(smooth(points, 5)[::5], points, atol=1e-5)


@pytest.mark.parametrize("centre", [(20.0, 20.0), (20.3, 19.6)])
def test_coverage_is_that_of_the_exact_shape(centre):
    mask = Canvas(41).mask(ellipse(np.array(centre), (9.0, 6.0)))
    y, x = np.mgrid[:41, :41]
    assert mask.sum() == pytest.approx(np.pi * 54, rel=0.06)
    assert (mask * x).sum() / mask.sum() == pytest.approx(centre[0], abs=0.1)
    assert (mask * y).sum() / mask.sum() == pytest.approx(centre[1], abs=0.1)


def test_people_keep_their_split_when_more_come():
    shares = {"train": 0.8, "val": 0.1, "test": 0.1}
    many = assign_splits(100, shares)
    assert assign_splits(33, shares) == many[:33]
    assert {name: many.count(name) for name in shares} == {"train": 80, "val": 10, "test": 10}


def test_a_folder_is_laid_out_resumed_and_extended(tmp_path: Path):
    drawn = write_portraits(tmp_path, count=14, size=128, processes=1)
    assert len(drawn) == 14
    with (tmp_path / "landmarks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"].split("/")[0] for row in rows} == {"train", "val", "test"}
    splits: dict[str, set] = {}
    for row in rows:
        splits.setdefault(row["identity"], set()).add(row["file"].split("/")[0])
    assert len(splits) == 7
    assert all(len(names) == 1 for names in splits.values()), "no person is in two splits"
    np.testing.assert_array_equal(
        read_image(tmp_path / rows[5]["file"]), render_portrait(2, 1, size=128).image
    )
    points = [[float(rows[5][f"{axis}{i}"]) for axis in "xy"] for i in range(68)]
    np.testing.assert_allclose(points, portrait_landmarks(2, 1, size=128), atol=1e-3)

    drawn[3].unlink()
    kept = drawn[4].stat().st_mtime_ns
    assert write_portraits(tmp_path, count=14, size=128, processes=1) == [drawn[3]]
    assert drawn[4].stat().st_mtime_ns == kept
    assert len(write_portraits(tmp_path, count=16, size=128, processes=1)) == 2
    assert write_portraits(tmp_path, count=10, size=128, processes=1) == []
    with (tmp_path / "landmarks.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 16
    with pytest.raises(FaceskdError, match="same seed"):
        write_portraits(tmp_path, count=16, seed=1, size=128, processes=1)


def test_processes_do_not_change_the_pictures(tmp_path: Path):
    one = write_portraits(tmp_path / "one", count=3, size=128, processes=1)
    two = write_portraits(tmp_path / "two", count=3, size=128, processes=2)
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"count": 0}, {"count": None}, {"seed": -1}, {"seed": None}, {"processes": 0}),
        *({"size": 256.5}, {"size": "abc"}, {"size": None}),
        *({"splits": {"train": 0.5}}, {"splits": {"train": "all"}}),
    ],
)
def test_impossible_settings_are_refused_before_anything_is_written(tmp_path: Path, wrong):
    with pytest.raises(ConfigError, match="expected"):
        write_portraits(tmp_path / "x", **{"count": 2, **wrong})
    assert not (tmp_path / "x").exists()


def test_mtcnn_finds_the_faces_where_they_are():
    mtcnn = pytest.importorskip("facenet_pytorch").MTCNN(device="cpu")
    for identity in range(3):
        portrait = render_portrait(identity)
        boxes, scores, found = mtcnn.detect(portrait.image, landmarks=True)
        assert boxes is not None
        assert scores[0] > 0.9
        assert 0.45 < (boxes[0][3] - boxes[0][1]) / 512 < 0.7
        points = portrait.landmarks
        five = [*(points[eye].mean(axis=0) for eye in EYES), points[30], points[48], points[54]]
        between_eyes = np.linalg.norm(five[1] - five[0])
        away = np.linalg.norm(found[0].astype(float) - np.stack(five), axis=1)
        assert away.max() < 0.2 * between_eyes
