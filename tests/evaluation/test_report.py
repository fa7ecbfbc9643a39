"""Tables of any rows, pictures in their places, and the files of a report."""

import csv
import io
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from torchvision.utils import make_grid

from faceskd.common.errors import ConfigError
from faceskd.common.machine import git_revision, machine_summary
from faceskd.evaluation.evaluate import Evaluation
from faceskd.evaluation.report import evaluation_table, write_report
from faceskd.faces.components import COMPONENTS
from faceskd.metrics import Scores
from faceskd.reporting.pictures import GAP, close_ups, image_grid
from faceskd.reporting.tables import best_rows, markdown_table, rich_table, write_csv

ROWS = [
    {"method": "bicubic", "psnr": 25.704, "lpips_vgg": 0.5, "grid_index": 0.2},
    {"method": "student", "psnr": 26.701, "lpips_vgg": 0.25, "grid_index": 1.5},
    {"method": "teacher", "psnr": 26.699, "grid_index": 20.0},
    {"method": "hr", "grid_index": 1.3},
]
BETTER = {"psnr": "higher", "lpips_vgg": "lower", "grid_index": "reference"}


class TestTables:
    def test_markdown(self):
        assert markdown_table(ROWS, better=BETTER, reference=ROWS[-1]).splitlines() == [
            "| method | psnr ↑ | lpips_vgg ↓ | grid_index →HR |",
            "| :--- | ---: | ---: | ---: |",
            "| bicubic | 25.70 | 0.5000 | 0.2000 |",
            "| student | **26.70** | **0.2500** | **1.5000** |",
            "| teacher | **26.70** | – | 20.0000 |",  # equal as printed
            "| hr | – | – | 1.3000 |",
        ]

    def test_headers_and_pipes(self):
        table = markdown_table([{"a": "x|y", "b": 3}], headers={"b": "B"})
        assert table.splitlines()[0] == "| a | B |"
        assert table.splitlines()[2] == r"| x\|y | 3 |"

    def test_rich_shows_the_same_cells(self):
        console = Console(width=120, record=True, file=io.StringIO())
        console.print(rich_table(ROWS, better=BETTER, reference=ROWS[-1], title="T"))
        text = console.export_text()
        for cell in ("26.70", "0.2500", "20.0000", "–", "psnr ↑", "student"):
            assert cell in text

    @given(st.lists(st.floats(-100, 100), min_size=2, max_size=6))
    def test_best_is_the_extreme_as_printed(self, values):
        rows = [{"psnr": value} for value in values]
        shown = [float(f"{value:.2f}") for value in values]
        highest = best_rows(rows, {"psnr": "higher"})["psnr"]
        lowest = best_rows(rows, {"psnr": "lower"})["psnr"]
        assert highest == {i for i, value in enumerate(shown) if value == max(shown)}
        assert lowest == {i for i, value in enumerate(shown) if value == min(shown)}

    def test_one_row_wins_nothing(self):
        assert best_rows(ROWS[:1], BETTER) == {}
        assert best_rows([{"psnr": 1.0}, {"psnr": math.nan}], BETTER) == {}

    def test_csv_keeps_missing_cells_empty(self, tmp_path):
        write_csv(tmp_path / "t.csv", ROWS)
        with (tmp_path / "t.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert rows[2] == {
            "method": "teacher", "psnr": "26.699", "lpips_vgg": "", "grid_index": "20.0",
        }  # fmt: skip


class TestPictures:
    hr = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    lr = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))

    def test_every_face_is_where_it_belongs(self):
        grid = image_grid({"LR": self.lr, "HR": self.hr})
        assert grid.dtype == np.uint8
        top = grid.shape[0] - 2 * (64 + GAP)
        assert grid.shape[1] == 3 * GAP + 128
        enlarged = self.lr.repeat_interleave(8, 2).repeat_interleave(8, 3)
        for j in range(2):
            y = top + j * (64 + GAP)
            for i, images in enumerate((enlarged, self.hr)):
                x = GAP + i * (64 + GAP)
                cell = grid[y : y + 64, x : x + 64] / 255
                np.testing.assert_allclose(cell, images[j].permute(1, 2, 0), atol=0.5 / 255 + 1e-6)

    @pytest.mark.parametrize(("columns", "faces"), [(1, 2), (3, 1), (3, 2)])
    def test_cells_lie_as_torchvision_lays_them_out(self, columns, faces):
        images = torch.randint(0, 256, (faces * columns, 3, 16, 16), dtype=torch.uint8)
        expected = make_grid(images, nrow=columns, padding=GAP, pad_value=255)
        grid = image_grid({" " * (i + 1): images[i::columns] / 255 for i in range(columns)})
        assert (grid[: -expected.shape[1]] == 255).all()
        assert np.array_equal(grid[-expected.shape[1] :], expected.permute(1, 2, 0))

    def test_labels_are_drawn_and_stay_within_their_column(self):
        blank = torch.ones(1, 3, 64, 64)
        plain = image_grid({" ": blank})
        long = image_grid({"a rather long label": blank})
        assert (plain == 255).all()
        ink = np.argwhere((long < 128).any(axis=2))
        assert len(ink) > 0
        assert ink[:, 1].min() >= GAP - 1
        assert ink[:, 1].max() <= GAP + 64

    @pytest.mark.parametrize("component", COMPONENTS)
    def test_close_up_is_the_box_enlarged(self, component):
        boxes = torch.zeros(2, 4, 4)
        boxes[:, COMPONENTS.index(component)] = torch.tensor([[10.0, 20, 30, 40], [40, 0, 60, 20]])
        picture = close_ups({"HR": self.hr}, boxes, component, margin=0)
        top = picture.shape[0] - 2 * (60 + GAP)
        for j, (x, y) in enumerate(((10, 20), (40, 0))):
            crop = self.hr[j, :, y : y + 20, x : x + 20].permute(1, 2, 0)
            expected = np.kron(crop, np.ones((3, 3, 1)))
            cell = picture[top + j * (60 + GAP) :][:60, GAP : GAP + 60] / 255
            np.testing.assert_allclose(cell, expected, atol=0.5 / 255 + 1e-6)

    @given(st.floats(-30, 90), st.floats(-30, 90), st.floats(1, 200))
    def test_boxes_beyond_the_border_are_moved_inside(self, x, y, side):
        """The colour of a pixel of these faces is its place."""
        y_of, x_of = np.mgrid[:64, :64].astype(np.uint8)
        places = np.stack([x_of, y_of, 0 * x_of], axis=2)
        faces = torch.from_numpy(places).permute(2, 0, 1).expand(2, 3, 64, 64) / 255
        boxes = torch.tensor([x, y, x + side, y + side]).expand(2, 4, 4)
        picture = close_ups({"HR": faces}, boxes, "nose", zoom=1, margin=0)
        shown = min(round(side), 64)
        cell = picture[-shown - GAP : -GAP, GAP : GAP + shown]
        left, top, _ = cell[0, 0].astype(int)
        nearest = np.clip(np.array([x, y]) + (side - shown) / 2, 0, 64 - shown)
        np.testing.assert_allclose([left, top], nearest, atol=0.51)
        np.testing.assert_array_equal(cell, places[top : top + shown, left : left + shown])

    @pytest.mark.parametrize(
        ("columns", "rows", "message"),
        [
            ({}, None, "at least 1"),
            ({"a": hr, "b": hr[:1]}, None, "the same number of faces"),
            ({"a": hr[:0]}, None, "at least 1"),
            ({"a": hr, "b": torch.rand(2, 3, 24, 24)}, None, "sizes that divide 64x64"),
            ({"a": hr}, ["one"], "2 row labels, got 1"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, columns, rows, message):
        with pytest.raises(ConfigError, match=message):
            image_grid(columns, rows)

    def test_close_ups_want_a_component_and_its_boxes(self):
        with pytest.raises(ConfigError, match=r"expected component as one of .*got 'ear'"):
            close_ups({"HR": self.hr}, torch.zeros(2, 4, 4), "ear")
        with pytest.raises(ConfigError, match="boxes of shape"):
            close_ups({"HR": self.hr}, torch.zeros(1, 4, 4), "nose")


def an_evaluation(show: int = 2) -> Evaluation:
    faces = ["ann", "bob", "cy"]
    scores = {
        "bicubic": Scores(faces, {"psnr": [24.0, 25.0, 26.0]}, {"frechet_squeezenet": 900.0}),
        "student": Scores(faces, {"psnr": [25.0, 26.0, 28.0]}, {"frechet_squeezenet": 300.0}),
        "hr": Scores(faces, {}, {}),
    }
    pictures = {
        name: torch.rand(show, 3, side, side)
        for name, side in (("lr", 32), ("bicubic", 256), ("student", 256), ("hr", 256))
    }
    boxes = torch.tensor([60.0, 80, 110, 130]).expand(show, 4, 4)
    better = {"psnr": "higher", "lpips_vgg": "lower", "frechet_squeezenet": "lower"}
    return Evaluation(
        scores,
        better,
        {"lpips_vgg": "vgg16.pth is not there"},
        pictures,
        boxes,
        {"precision": "fp32"},
    )


class TestReport:
    def test_files(self, tmp_path):
        report = write_report(an_evaluation(), tmp_path / "out", extra={"split": "test"})
        text = report.read_text()
        assert "| method | psnr ↑ | frechet_squeezenet (3 faces) ↓ |" in text
        assert "| student | **26.33** | **300.00** |" in text
        assert "- `lpips_vgg`: vgg16.pth is not there" in text
        for name in ("faces.png", "left_eye.png", "right_eye.png", "mouth.png"):
            assert f"({name})" in text
            Image.open(tmp_path / "out" / name).verify()
        with (tmp_path / "out/per_image.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [(r["name"], r["method"], float(r["psnr"])) for r in rows][3:] == [
            ("ann", "student", 25.0), ("bob", "student", 26.0), ("cy", "student", 28.0),
        ]  # fmt: skip

    def test_json(self, tmp_path):
        write_report(an_evaluation(), tmp_path, extra={"split": "test"})
        record = json.loads((tmp_path / "metrics.json").read_text())
        student = record["metrics"]["student"]
        assert student["values"]["psnr"] == pytest.approx(79 / 3)
        low, high = student["interval_95"]["psnr"]
        assert 25 <= low < 79 / 3 < high <= 28
        assert record["faces"] == 3
        assert record["unavailable"] == {"lpips_vgg": "vgg16.pth is not there"}
        assert record["settings"] == {"precision": "fp32", "split": "test"}
        assert record["machine"]["torch"] == torch.__version__

    def test_without_pictures(self, tmp_path):
        report = write_report(an_evaluation(show=0), tmp_path)
        assert "![" not in report.read_text()
        assert not list(tmp_path.glob("*.png"))

    def test_only_some_methods_in_the_pictures(self, tmp_path):
        write_report(an_evaluation(), tmp_path, pictured=["student"])
        all_methods = Image.open(tmp_path / "faces.png").width
        write_report(an_evaluation(), tmp_path, pictured=[])
        assert Image.open(tmp_path / "faces.png").width == all_methods - 256 - GAP

    def test_screen(self):
        table = evaluation_table(an_evaluation(), "test")
        rows = an_evaluation().rows()
        assert [column.header for column in table.columns][1:] == [row["method"] for row in rows]
        assert table.row_count == len(rows[0]) - 1  # a row a metric


class TestMachine:
    def test_summary_is_plain_and_tells_what_matters(self):
        summary = machine_summary()
        assert json.loads(json.dumps(summary)) == summary
        assert summary["threads"] == torch.get_num_threads()
        assert summary["cores"] >= 1
        assert summary["cpu"]

    def test_no_revision_outside_a_checkout(self, tmp_path):
        assert git_revision(tmp_path) is None
