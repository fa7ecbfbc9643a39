"""Parts of other faces: where they go, what stays, and that boxes stay the face's own."""

import numpy as np
import pytest
from helpers.aligned_faces import BOXES
from hypothesis import given
from hypothesis import strategies as st

from faceskd.data.augment.geometry import SimilarityJitter
from faceskd.data.augment.mixing import PARTS, Background, Exchange, box_window, face_window
from faceskd.data.augment.morph import Morph
from faceskd.data.dataset import FaceDataset
from faceskd.data.degradation import Clean
from faceskd.faces.components import COMPONENTS

OTHER_BOXES = BOXES * 0.9 + 10


def flat(level):
    return np.full((256, 256, 3), level, np.uint8)


def dotted(boxes, skin=120):
    """A face of one level, with a white dot in the middle of each box."""
    face = flat(skin)
    for x, y in ((boxes[:, :2] + boxes[:, 2:]) / 2).round().astype(int):
        face[y - 3 : y + 3, x - 3 : x + 3] = 255
    return face


def exchange(face, other, seed=0, **options):
    rng = np.random.default_rng(seed)
    return Exchange(**({"probability": 1} | options))(
        face, BOXES, rng, lambda: (other, OTHER_BOXES)
    )


class TestExchange:
    @pytest.mark.parametrize("seed", range(6))
    def test_a_part_of_the_other_lies_where_the_face_has_its_own(self, seed):
        face, boxes = exchange(flat(120), dotted(OTHER_BOXES), seed)
        np.testing.assert_array_equal(boxes, BOXES)
        rows, columns = np.nonzero(face[..., 0] > 200)
        assert len(rows)
        centres = (BOXES[:, :2] + BOXES[:, 2:]) / 2
        places = np.stack([columns, rows], axis=1) + 0.5
        nearest = np.linalg.norm(places[:, None] - centres, axis=2)
        assert nearest.min(axis=1).max() < 7
        came = tuple(COMPONENTS[index] for index in sorted(set(nearest.argmin(axis=1))))
        assert came in PARTS

    def test_every_part_has_its_turn(self):
        faces = {exchange(flat(120), dotted(OTHER_BOXES), seed)[0].tobytes() for seed in range(30)}
        assert len(faces) == len(PARTS)

    @given(skin=st.integers(90, 150), seed=st.integers(0, 1000))
    def test_the_other_s_skin_is_brought_to_the_face_s_own(self, skin, seed):
        face, _ = exchange(flat(120), flat(skin), seed)
        np.testing.assert_array_equal(face, flat(120))

    def test_unlike_faces_are_left_alone(self):
        face, _ = exchange(flat(200), dotted(OTHER_BOXES, skin=60))
        np.testing.assert_array_equal(face, flat(200))

    def test_outside_of_the_boxes_nothing_changes(self):
        before = np.random.default_rng(1).integers(100, 140, (256, 256, 3), dtype=np.uint8)
        after, _ = exchange(before, dotted(OTHER_BOXES))
        outside = np.ones((256, 256), bool)
        for x1, y1, x2, y2 in BOXES.astype(int):
            outside[y1:y2, x1:x2] = False
        np.testing.assert_array_equal(after[outside], before[outside])
        assert (after != before).any()


class TestBackground:
    def background(self, face, other, other_boxes=BOXES, **options):
        rng = np.random.default_rng(0)
        return Background(**({"probability": 1} | options))(
            face, BOXES, rng, lambda: (other, other_boxes)
        )

    def test_components_stay_and_corners_are_the_other_s(self):
        face, boxes = self.background(dotted(BOXES), flat(10))
        np.testing.assert_array_equal(boxes, BOXES)
        for x1, y1, x2, y2 in BOXES.astype(int):
            middle = slice(y1 + 8, y2 - 8), slice(x1 + 8, x2 - 8)
            np.testing.assert_array_equal(face[middle], dotted(BOXES)[middle])
        for corner in (face[0, 0], face[0, -1], face[-1, 0], face[-1, -1]):
            assert (corner == 10).all()

    def test_between_them_it_is_between_them(self):
        face, _ = self.background(flat(200), flat(10))
        assert face.min() == 10
        assert face.max() == 200
        assert ((face > 20) & (face < 190)).any()

    @pytest.mark.parametrize("who", ["face", "other"])
    def test_faces_turned_aside_are_left_alone(self, who):
        turned = BOXES.copy()
        turned[COMPONENTS.index("nose"), [0, 2]] += 20
        own, others = (turned, BOXES) if who == "face" else (BOXES, turned)
        rng = np.random.default_rng(0)
        face, _ = Background(probability=1)(flat(200), own, rng, lambda: (flat(10), others))
        np.testing.assert_array_equal(face, flat(200))


@pytest.mark.parametrize("kind", [Exchange, Background, Morph])
def test_without_another_face_nothing_changes(kind):
    face, boxes = kind(probability=1)(dotted(BOXES), BOXES, np.random.default_rng(0))
    np.testing.assert_array_equal(face, dotted(BOXES))
    np.testing.assert_array_equal(boxes, BOXES)


@pytest.mark.parametrize("kind", [Exchange, Background, Morph])
def test_probability_0_draws_no_other_face(kind):
    def refuse():
        raise AssertionError("another face was drawn")

    face, _ = kind(probability=0)(flat(9), BOXES, np.random.default_rng(0), refuse)
    np.testing.assert_array_equal(face, flat(9))


@given(
    corner=st.tuples(st.floats(-30, 200), st.floats(-30, 200)),
    size=st.floats(16, 90),
    feather=st.floats(0.05, 0.5),
)
def test_a_box_s_window_is_inside_of_it(corner, size, feather):
    box = np.array([*corner, *(np.array(corner) + size)])
    window = box_window(box, 256, feather)
    assert 0 <= window.min() <= window.max() <= 1
    y, x = np.mgrid[:256, :256] + 0.5
    outside = (x <= box[0]) | (x >= box[2]) | (y <= box[1]) | (y >= box[3])
    assert window[outside].max(initial=0) == 0


def test_a_face_s_window_holds_its_components():
    window = face_window(BOXES, 256, 0.15)
    assert 0 <= window.min() <= window.max() <= 1
    for x1, y1, x2, y2 in BOXES.astype(int):
        assert window[y1 + 8 : y2 - 8, x1 + 8 : x2 - 8].min() == 1
    assert window[0, 0] == window[-1, -1] == 0


class TestInADataset:
    def dataset(self, prepared_faces, augment, **options):
        return FaceDataset(prepared_faces, "train", Clean(), augment=augment, seed=3, **options)

    def test_the_other_face_is_one_of_the_split_and_decided_by_seed_epoch_and_index(
        self, prepared_faces
    ):
        plain = self.dataset(prepared_faces, None)
        mixed = self.dataset(prepared_faces, Exchange(probability=1, unlike=255))
        first = [mixed[1, index]["hr"].numpy() for index in range(6)]
        again = self.dataset(prepared_faces, Exchange(probability=1, unlike=255))
        backwards = [again[1, index]["hr"].numpy() for index in reversed(range(6))][::-1]
        np.testing.assert_array_equal(first, backwards)
        changed = [(first[i] != plain[1, i]["hr"].numpy()).any() for i in range(6)]
        assert sum(changed) >= 4
        assert any((first[i] != mixed[2, i]["hr"].numpy()).any() for i in range(6))

    def test_faces_in_memory_are_not_changed(self, prepared_faces):
        mixed = self.dataset(prepared_faces, Background(probability=1, turned=9))
        before = self.dataset(prepared_faces, None)[0]["hr"]
        mixed[0]
        np.testing.assert_array_equal(mixed.cache[0].transpose(2, 0, 1), (before * 255).round())

    def test_the_default_draws_what_it_always_drew(self, prepared_faces):
        """`SimilarityJitter` draws from the generator first, and eq. 8 draws after it."""
        item = self.dataset(prepared_faces, SimilarityJitter())[4, 2]
        rng = np.random.default_rng((3, 4, 2))
        plain = self.dataset(prepared_faces, None)[2]
        face = (plain["hr"].numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0)
        expected, boxes = SimilarityJitter()(face, plain["boxes"].numpy(), rng)
        np.testing.assert_array_equal(
            (item["hr"].numpy() * 255).round(), expected.transpose(2, 0, 1)
        )
        np.testing.assert_array_equal(item["boxes"].numpy(), boxes)
