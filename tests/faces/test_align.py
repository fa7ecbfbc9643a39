"""Similarity fits and warps against scikit-image; MTCNN and FAN through one interface."""

import pickle
import urllib.error

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform, estimate_transform

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.faces.align import (
    AlignedCrop,
    BoxCrop,
    SimilarityCrop,
    box_crop,
    fit_similarity,
    similarity_crop,
    template,
    transform_points,
    warp,
)
from faceskd.faces.components import five_points
from faceskd.faces.detection import FAN_URL, Face, FANLandmarks, MTCNNDetector
from faceskd.portraits import render_portrait

points = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=5, max_size=5)


def ramp(height, width):
    """Red is x and green is y, of the pixel's centre."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)


@given(points, points)
@settings(deadline=None, max_examples=50)
def test_fit_is_umeyamas(source, target):
    source = np.array(source) + template(100)  # never all the same
    target = np.array(target) + template(120)
    if np.linalg.svd(source - source.mean(0))[1][1] < 1:
        return
    expected = estimate_transform("similarity", source, target)
    reference = np.asarray(expected.params)[:2]
    np.testing.assert_allclose(fit_similarity(source, target), reference, atol=1e-6, rtol=1e-6)


@given(st.floats(0.1, 5), st.floats(-3.1, 3.1), st.floats(-99, 99), st.floats(-99, 99))
def test_fit_finds_the_similarity_that_was_applied(scale, angle, x, y):
    true = SimilarityTransform(scale=scale, rotation=angle, translation=(x, y))
    matrix = fit_similarity(template(256), true(template(256)))
    np.testing.assert_allclose(matrix, true.params[:2], atol=1e-6)
    np.testing.assert_allclose(
        transform_points(template(256), matrix), true(template(256)), atol=1e-2
    )


def test_a_mirrored_face_is_not_mirrored_back():
    mirrored = template(256) * [-1, 1] + [256, 0]
    assert np.linalg.det(fit_similarity(mirrored, template(256))[:, :2]) > 0


def test_identity_warp_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp(image, np.eye(2, 3), 64), image)


@pytest.mark.parametrize("scale", [0.26, 0.48, 0.77, 1.0, 1.9])
def test_pixels_land_where_the_points_do(scale):
    matrix = np.array([[scale, 0, -20 * scale], [0, scale, -10 * scale]])
    crop = warp(ramp(250, 250), matrix, 40).astype(float)
    inverse = np.linalg.inv(matrix[:, :2])
    y, x = np.mgrid[4:36, 4:36]
    expected = (np.stack([x, y], -1) + 0.5 - matrix[:, 2]) @ inverse.T - 0.5
    error = crop[4:36, 4:36, :2] - expected
    assert np.abs(error).max() < 1.1  # rounded to 8 bit twice
    assert np.abs(error.mean((0, 1))).max() < 0.2  # half a pixel of shift would be 0.26 or more


@pytest.mark.parametrize("factor", [2.5, 4, 8])
def test_shrinking_does_not_alias(factor):
    """A chequerboard finer than the crop can show becomes grey, not moire."""
    size = 96
    side = round(size * factor)
    board = np.indices((side, side)).sum(0) % 2 * 255
    image = np.repeat(board[..., None], 3, axis=-1).astype(np.uint8)
    matrix = np.array([[1 / factor, 0, 0], [0, 1 / factor, 0]])
    crop = warp(image, matrix, size).astype(float)
    assert crop[4:-4, 4:-4].std() < 4
    assert abs(crop.mean() - 127.5) < 3


def test_a_large_photo_gives_the_crop_of_a_small_one():
    """Cutting the region out before resizing must not shift or change it."""
    small = np.array(render_portrait(3, size=256).image)
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    turn = SimilarityTransform(scale=1.0, rotation=0.1, translation=(-60, -90)).params[:2]
    shrunk = turn @ np.diag([0.25, 0.25, 1])
    difference = np.abs(warp(small, turn, 96).astype(float) - warp(large, shrunk, 96))
    assert difference.mean() < 2


def test_beyond_the_border_the_picture_is_mirrored():
    image = ramp(100, 100)
    crop = warp(image, np.array([[1.0, 0, 20], [0, 1, 0]]), 100)
    np.testing.assert_array_equal(crop[:, :20], crop[:, 21:41][:, ::-1])
    assert warp(image[:1, :1], np.array([[0.1, 0, 9], [0, 0.1, 9]]), 8).shape == (8, 8, 3)


@pytest.mark.parametrize("angle", [-0.5, 0.0, 0.4])
@pytest.mark.parametrize("scale", [0.3, 1.7])
def test_similarity_crop_brings_the_points_to_the_template(angle, scale):
    place = SimilarityTransform(scale=scale, rotation=angle, translation=(150, 90))
    landmarks = place(template(256, 1.1))
    image = np.zeros((600, 700, 3), np.uint8)
    crop, matrix = similarity_crop(image, landmarks, template_scale=1.1)
    assert crop.shape == (256, 256, 3) and matrix.shape == (2, 3)
    np.testing.assert_allclose(transform_points(landmarks, matrix), template(256, 1.1), atol=0.01)


def test_sixty_eight_points_are_aligned_by_their_five():
    portrait = render_portrait(1, size=256)
    crop, matrix = similarity_crop(portrait.image, portrait.landmarks)
    crop5, matrix5 = similarity_crop(portrait.image, five_points(portrait.landmarks))
    np.testing.assert_array_equal(matrix, matrix5)
    np.testing.assert_array_equal(crop, crop5)


def test_box_crop_is_the_square_with_its_margin():
    crop, matrix = box_crop(ramp(200, 200), [50, 60, 90, 140], 100, margin=0.1)
    corners = transform_points([[70 - 48, 100 - 48], [70 + 48, 100 + 48]], matrix)
    np.testing.assert_allclose(corners, [[0, 0], [100, 100]], atol=1e-4)
    assert abs(float(crop[50, 50, 0]) - 70) <= 1 and abs(float(crop[50, 50, 1]) - 100) <= 1


def test_template_scale_fills_the_crop_and_has_bounds():
    assert np.ptp(template(256, 1.3)[:, 0]) > np.ptp(template(256, 1.0)[:, 0])
    with pytest.raises(ConfigError, match="template_scale"):
        template(256, 0)


def test_crops_as_settings():
    image = np.zeros((300, 300, 3), np.uint8)
    face = Face(np.array([50, 50, 200, 250], np.float32), template(256).astype(np.float32), 1.0)
    for crop in (SimilarityCrop(), BoxCrop(), AlignedCrop()):
        picture, matrix = crop(image, face, 64)
        assert picture.shape == (64, 64, 3) and matrix.shape == (2, 3)
        assert pickle.loads(pickle.dumps(crop)) == crop
    assert [c.aligned for c in (SimilarityCrop(), BoxCrop(), AlignedCrop())] == [False, False, True]


@pytest.fixture(scope="module")
def portrait():
    return render_portrait(0, size=512)


@pytest.fixture(scope="module")
def detector():
    return MTCNNDetector()


def test_mtcnn_finds_the_face_and_its_points(detector, portrait):
    (face,) = detector.detect(portrait.image)
    truth = five_points(portrait.landmarks)
    errors = np.linalg.norm(face.landmarks - truth, axis=-1)
    assert errors.max() < 0.08 * np.linalg.norm(truth[1] - truth[0])
    assert face.height > 150 and 0.9 <= face.score <= 1


@pytest.mark.parametrize("factor", [0.25, 4])
def test_mtcnn_finds_it_in_any_size_of_picture(portrait, factor):
    import cv2

    image = cv2.resize(portrait.image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    (face,) = MTCNNDetector(min_face=32 * max(factor, 1)).detect(image)
    truth = five_points(portrait.landmarks) * factor
    errors = np.linalg.norm(face.landmarks - truth, axis=-1)
    assert errors.max() < 0.1 * np.linalg.norm(truth[1] - truth[0])


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 900, 3), (40, 40, 3), (300, 300, 3)])
def test_mtcnn_finds_nothing_where_there_is_nothing(detector, shape):
    assert detector.detect(np.full(shape, 127, np.uint8)) == []
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert detector.detect(noise) == []


def test_mtcnn_gives_many_faces_largest_first(detector, portrait):
    import cv2

    small = cv2.resize(portrait.image, (300, 300), interpolation=cv2.INTER_AREA)
    image = np.full((512, 900, 3), 200, np.uint8)
    image[:300, :300], image[:, 388:] = small, portrait.image
    faces = detector.detect(image)
    assert len(faces) == 2 and faces[0].height > faces[1].height
    assert faces[0].box[0] > 388 and faces[1].box[2] < 300


def test_fan_gives_68_points_in_the_boxes_of_mtcnn(tmp_path, portrait):
    from face_alignment.models import FAN

    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), tmp_path / "fan.pth")
    fan = FANLandmarks(weights=str(tmp_path / "fan.pth"))
    fan.fetch()
    (face,) = fan.detect(portrait.image)
    (expected,) = MTCNNDetector().detect(portrait.image)
    np.testing.assert_allclose(face.box, expected.box)
    assert face.landmarks.shape == (68, 2)
    assert fan.detect(np.zeros((100, 100, 3), np.uint8)) == []
    again = pickle.loads(pickle.dumps(fan))  # as `prepare` sends it to its processes
    assert again == fan and "_network" not in vars(again)


def test_fan_without_weights_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match=FAN_URL):
        FANLandmarks(weights=str(tmp_path / "none.pth")).fetch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(WeightsError, match="landmarks=mtcnn") as error:
        FANLandmarks().fetch()
    assert FAN_URL in str(error.value) and str(tmp_path) in str(error.value)
    (tmp_path / "bad.pth").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="damaged"):
        FANLandmarks(weights=str(tmp_path / "bad.pth")).fetch()
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="does not hold 2DFAN-4"):
        FANLandmarks(weights=str(tmp_path / "other.pth")).fetch()
    with pytest.raises(ConfigError, match="threshold from 0 to 1, got 90"):
        FANLandmarks(threshold=90)
