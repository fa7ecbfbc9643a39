"""Faces that lie on their side or are upside down."""

import cv2
import numpy as np
import pytest

from faceskd.faces.align import fit_similarity, template, warp
from faceskd.faces.detection import Face, MTCNNDetector
from faceskd.faces.turns import AnyTurn
from faceskd.portraits import render_portrait
from faceskd.restore.photo import photo_detector


@pytest.fixture(scope="module")
def detector():
    return photo_detector()


@pytest.fixture(scope="module")
def portrait():
    return render_portrait(3, size=256).image


def aligned(image, face):
    return warp(image, fit_similarity(face.landmarks, template()), 256).astype(float)


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("number", [3, 8])
def test_a_turned_portrait_is_found_with_the_landmarks_of_the_upright_one(
    detector, number, quarters
):
    upright = render_portrait(number, size=256).image
    turned = np.ascontiguousarray(np.rot90(upright, quarters))
    (face,), (expected,) = detector.detect(turned), detector.detect(upright)
    assert np.abs(aligned(turned, face) - aligned(upright, expected)).mean() < 1
    centre = (face.box[:2] + face.box[2:]) / 2
    assert (np.abs(centre - face.landmarks.mean(0)) < 0.2 * face.width).all()


def test_without_it_turned_portraits_are_missed(portrait):
    turned = np.ascontiguousarray(np.rot90(portrait))
    assert MTCNNDetector(min_face=24, threshold=0.95).detect(turned) == []


@pytest.mark.parametrize("degrees", [30, 45, -65, -120, 150])
def test_tilts_in_between_have_exact_landmarks_too(detector, portrait, degrees):
    centre = (128, 128)
    matrix = cv2.getRotationMatrix2D(centre, degrees, 0.7)
    tilted = cv2.warpAffine(portrait, matrix, (256, 256), borderValue=(70, 90, 110))
    (face,), (upright,) = detector.detect(tilted), detector.detect(portrait)
    expected = upright.landmarks @ matrix[:, :2].T + matrix[:, 2]
    distance = np.linalg.norm(expected[1] - expected[0])
    assert np.abs(face.landmarks - expected).max() < 0.1 * distance


def test_upright_and_turned_faces_in_one_photo(detector, portrait):
    photo = np.full((300, 600, 3), (70, 90, 110), np.uint8)
    photo[20:276, 20:276] = portrait
    photo[20:276, 320:576] = np.rot90(portrait)
    left, right = sorted(detector.detect(photo), key=lambda face: face.box[0])
    upright, lying = (face.landmarks[1] - face.landmarks[0] for face in (left, right))
    assert upright[0] > 5 * abs(upright[1])
    assert -lying[1] > 5 * abs(lying[0])


class Scripted(MTCNNDetector):
    """Finds in each turn what it is told; `searched` keeps the least heights it was asked for."""

    def __init__(self, *found):
        super().__init__(min_face=24)
        self.found, self.searched = list(found), []

    def search(self, image, min_face):
        self.searched.append(min_face)
        return self.found[len(self.searched) - 1]


def face(score, x=100.0, y=100.0, side=80.0):
    box = np.array([x, y, x + side, y + side], np.float32)
    return Face(box, template(100).astype(np.float32), score)


PHOTO = np.zeros((800, 800, 3), np.uint8)


def test_the_best_of_the_detections_of_one_face_is_kept():
    detector = Scripted([face(0.97, 100, 600)], [], [face(0.999, 610, 110)], [])
    (best,) = AnyTurn(detector).detect(PHOTO)
    assert best.score == 0.999
    assert best.box.tolist() == [110, 610, 190, 690]


def test_neighbours_are_both_kept():
    detector = Scripted([face(0.97), face(0.99, x=130)], [], [], [])
    assert len(AnyTurn(detector).detect(PHOTO)) == 2


@pytest.mark.parametrize(("upright", "least"), [([], 24), ([face(0.99)], 24), ([face(0.999)], 100)])
def test_turned_faces_are_searched_for_in_full_only_where_upright_ones_are_unsure(upright, least):
    detector = Scripted(upright, [], [], [])
    AnyTurn(detector).detect(PHOTO)
    assert detector.searched == [24, least, least, least]


def test_largest_first():
    detector = Scripted([face(0.999)], [face(0.999, x=400, side=200)], [], [])
    assert [face.width for face in AnyTurn(detector).detect(PHOTO)] == [200, 80]
