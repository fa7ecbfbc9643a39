"""Pictures of what a dictionary found alike."""

from pathlib import Path

import numpy as np
import pytest
from helpers.tiny_dictionary import KEYS

from faceskd.common.images import read_image
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
        sheet = read_image(tmp_path / "relu4_4_mouth.png").astype(float)
        largest = int(np.argsort(-clusters.counts, kind="stable")[0])
        record = result.records[clusters.nearest[largest][0]]
        x1, y1, x2, y2 = (round(value) for value in record.boxes[3])
        mouth = read_image(prepared_faces / record.face)[y1:y2, x1:x2]
        shown = sheet[:CELL, 2 * (CELL + GAP) :][:, :CELL]
        assert np.abs(shown.mean((0, 1)) - mouth.mean((0, 1))).max() < 2
        assert shown.std() > 5

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
        assert (sheet[:CELL, :CELL] < 128).any()  # the number of members

    @pytest.mark.parametrize(
        "box", [[-40, -40, -10, -10], [300, 300, 330, 330], [50, 50, 50, 50], [-9, 200, 40, 290]]
    )
    def test_boxes_out_of_the_picture_still_give_a_patch(self, box: list[float]) -> None:
        from faceskd.dictionary.contact_sheet import _patch

        assert _patch(np.zeros((256, 256, 3), np.uint8), box).shape == (CELL, CELL, 3)
