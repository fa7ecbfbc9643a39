"""Pictures of what a dictionary found alike."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.tiny_dictionary import KEYS

from faceskd.common.images import read_image
from faceskd.dictionary import contact_sheet as module
from faceskd.dictionary import kmeans as clustering
from faceskd.dictionary.build import Built
from faceskd.dictionary.contact_sheet import CELL, GAP, contact_sheet, write_contact_sheets


class TestContactSheets:
    def test_one_for_each_tap_and_component(
        self, built: tuple[Built, Path], prepared_faces: Path, tmp_path: Path
    ) -> None:
        write_contact_sheets(built[0], prepared_faces, tmp_path, rows=2)
        names = {f"{key.replace('/', '_')}.png" for key in KEYS}
        assert {path.name for path in tmp_path.iterdir()} == names
        for name in names:
            sheet = read_image(tmp_path / name)
            assert sheet.shape == (2 * (CELL + GAP), 10 * (CELL + GAP), 3)

    def test_members_are_the_components_of_the_nearest_faces(
        self, built: tuple[Built, Path], prepared_faces: Path, tmp_path: Path
    ) -> None:
        result, _ = built
        write_contact_sheets(result, prepared_faces, tmp_path)
        clusters = result.clusters["relu4_4/mouth"]
        sheet = read_image(tmp_path / "relu4_4_mouth.png")
        largest = int(np.argsort(-clusters.counts, kind="stable")[0])
        record = result.records[clusters.nearest[largest][0]]
        x1, y1, x2, y2 = (round(value) for value in record.boxes[3])
        mouth = read_image(prepared_faces / record.face)[y1:y2, x1:x2]
        shown = sheet[:CELL, 2 * (CELL + GAP) :][:, :CELL]
        expected = cv2.resize(mouth, (CELL, CELL), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(shown, expected)

    def test_no_face_is_read_that_is_not_shown(
        self,
        built: tuple[Built, Path],
        prepared_faces: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Each once for a component, and none for an empty place."""
        result, _ = built
        one = {"relu2_2/nose": result.clusters["relu2_2/nose"]}
        names: list[str] = []
        monkeypatch.setattr(
            module, "read_image", lambda path: names.append(path.name) or read_image(path)
        )
        write_contact_sheets(
            Built(result.dictionary, one, result.records), prepared_faces, tmp_path
        )
        members = [row for row in one["relu2_2/nose"].nearest.ravel() if row >= 0]
        assert sorted(names) == sorted(Path(result.records[row].face).name for row in members)

    def test_the_mean_and_the_blanks(self) -> None:
        nearest = np.full((1, 8), -1)
        nearest[0, :2] = 4, 9
        clusters = clustering.Clusters(np.zeros((1, 2)), np.array([2]), nearest, 0.0, 1, 0)
        patches = {
            4: np.full((CELL, CELL, 3), 10, np.uint8),
            9: np.full((CELL, CELL, 3), 31, np.uint8),
        }
        sheet = contact_sheet(clusters, np.array([0]), patches)
        cells = [sheet[10, i * (CELL + GAP) + 10, 0] for i in range(10)]
        assert cells[1:] == [20, 10, 31, *[255] * 6]
        label = np.full((CELL, CELL, 3), 255, np.uint8)
        font, line = cv2.FONT_HERSHEY_SIMPLEX, cv2.LINE_AA
        cv2.putText(label, "2", (4, 34), font, 0.55, (0, 0, 0), 1, line)
        np.testing.assert_array_equal(sheet[:CELL, :CELL], label)
        assert (sheet[CELL:] == 255).all() and (sheet[:, CELL : CELL + GAP] == 255).all()

    @pytest.mark.parametrize(
        ("box", "shown"),
        [
            ([-40, -40, -10, -10], (slice(0, 1), slice(0, 1))),
            ([300, 300, 330, 330], (slice(255, 256), slice(255, 256))),
            ([50, 50, 50, 50], (slice(50, 51), slice(50, 51))),
            ([-9, 200, 40, 290], (slice(200, 256), slice(0, 40))),
            ([100.4, 20.6, 130.4, 50.6], (slice(21, 51), slice(100, 130))),
        ],
    )
    def test_of_a_box_what_lies_in_the_picture_is_shown(
        self, box: list[float], shown: tuple[slice, slice]
    ) -> None:
        face = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        expected = cv2.resize(face[shown], (CELL, CELL), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(module._patch(face, box), expected)
