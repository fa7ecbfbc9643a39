"""Large pictures: every face is found, once, however large the picture and the face are."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from faceskd.faces.detection import MTCNNDetector
from faceskd.faces.tiles import search_tiles, shared, spans, without_doubles
from faceskd.portraits import render_portrait

MIN_FACE, MAX_SIDE = 24, 512


def centres(faces):
    return np.array([(face.box[:2] + face.box[2:]) / 2 for face in faces])


@pytest.fixture(scope="module")
def portrait():
    """A portrait and the height of its face, as shares of its side."""
    image = render_portrait(3, size=512).image
    (face,) = MTCNNDetector(threshold=0.9).detect(image)
    return Image.fromarray(image), (face.box[:2] + face.box[2:]) / 2 / 512, face.height / 512


def panorama(portrait, places, size):
    """Portraits whose faces have given centres and heights on a wall."""
    image, centre, share = portrait
    wall = Image.new("RGB", size, (120, 130, 140))
    for x, y, height in places:
        side = round(height / share)
        left, top = np.rint((x, y) - centre * side).astype(int)
        wall.paste(image.resize((side, side), Image.Resampling.LANCZOS), (int(left), int(top)))
    return np.asarray(wall)


def test_small_and_large_faces_of_a_panorama_are_found_once(portrait):
    places = [(60 + 130 * index, 90 + 7 * (index % 3), 40) for index in range(23)]
    places += [(1500, 550, 330), (400, 500, 150)]
    image = panorama(portrait, places, (3100, 780))
    detector = MTCNNDetector(min_face=MIN_FACE, max_side=MAX_SIDE, threshold=0.9)
    found = detector.detect(image)
    assert len(found) == len(places)
    distances = np.linalg.norm(centres(found)[:, None] - np.array(places)[None, :, :2], axis=-1)
    assert sorted(distances.argmin(axis=1)) == list(range(len(places)))
    assert (distances.min(axis=1) < 0.15 * np.array([face.height for face in found])).all()
    areas = [face.width * face.height for face in found]
    assert areas == sorted(areas, reverse=True)
    for face in found:
        assert (face.landmarks > face.box[:2]).all() and (face.landmarks < face.box[2:]).all()


def test_a_picture_that_is_searched_at_once_is_not_cut(portrait, monkeypatch):
    monkeypatch.setattr("faceskd.faces.detection.search_tiles", None)
    image = panorama(portrait, [(200, 150, 60)], (610, 300))
    assert len(MTCNNDetector(min_face=MIN_FACE, max_side=MAX_SIDE).detect(image)) == 1


@pytest.mark.parametrize(("side", "overlap"), [(60, 10), (512, 96), (128, 24)])
def test_tiles_reach_the_end_of_every_length(side, overlap):
    for length in range(1, 3000):
        tiles = spans(length, side, overlap)
        assert tiles[0].start == 0 and tiles[-1].stop == length
        assert max(tile.stop - tile.start for tile in tiles) <= side


@pytest.mark.parametrize("length", [5, 10, 60, 61, 110, 111, 500])
def test_tiles_cover_all_and_overlap(length):
    tiles = spans(length, 60, 10)
    assert tiles[0].start == 0 and tiles[-1].stop == length
    assert all(tile.stop - tile.start <= 60 for tile in tiles)
    assert all(one.stop - other.start >= 9 for one, other in pairwise(tiles))
    sizes = [tile.stop - tile.start for tile in tiles]
    assert max(sizes) - min(sizes) <= 1
    assert len(tiles) == max(np.ceil((length - 10) / 50), 1)


def test_faces_that_a_tile_cuts_are_left_to_its_neighbour():
    def search(part):
        """One face in the middle of each tile, and one that reaches over each of its sides."""
        height, width = part.shape[:2]
        box = np.array([[20, 20, 30, 30], [-3, 20, 9, 30], [width - 5, 20, width + 4, 30],
                        [20, -3, 30, 9], [20, height - 5, 30, height + 4]], float)  # fmt: skip
        return box, np.ones(5), np.zeros((5, 5, 2))

    boxes, _, _ = search_tiles(np.zeros((60, 100, 3), np.uint8), 60, 20, search)
    np.testing.assert_array_equal(
        boxes[np.lexsort(boxes.T)],
        [[20, -3, 30, 9], [60, -3, 70, 9], [-3, 20, 9, 30], [20, 20, 30, 30], [60, 20, 70, 30],
         [95, 20, 104, 30], [20, 55, 30, 64], [60, 55, 70, 64]],
    )  # fmt: skip


def test_of_two_detections_of_a_face_the_surer_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [100, 0, 140, 40], [3, 3, 6, 6]], float)
    scores, points = np.array([0.9, 0.99, 0.95, 0.97]), np.arange(40).reshape(4, 5, 2)
    kept, ranks, marks = without_doubles((boxes, scores, points))
    np.testing.assert_array_equal(kept, boxes[[2, 1]])
    np.testing.assert_array_equal(ranks, scores[[2, 1]])
    np.testing.assert_array_equal(marks, points[[2, 1]])
    assert shared(boxes[0], boxes[3]) == 1 and shared(boxes[0], boxes[2]) == 0
