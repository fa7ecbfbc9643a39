"""A profile's report, and quality beside cost."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from faceskd.cli import main as cli
from faceskd.common.errors import ConfigError
from faceskd.profiling import plots
from faceskd.profiling.ceilings import Ceiling
from faceskd.profiling.presentation import profile_markdown, profile_table, write_profile
from faceskd.profiling.quality import pareto_front, read_quality, with_quality
from faceskd.profiling.results import Profile, ProfileRow

ROW = ProfileRow(
    name="student@bf16", model="student", batch_size=1, threads=2, parameters=10**6, macs=2 * 10**9,
    latency_ms=8.0, latency_p90_ms=9.0, faces_per_second=125.0, ratio=2.0, ceiling_fraction=0.25,
    convolution_fraction=0.5, file_to_file_ms=10.0, file_to_file_p90_ms=11.0,
    weights_bytes=4 * 10**6, peak_bytes=30 * 10**6, peak_over_bicubic_bytes=20 * 10**6,
    dictionary_bytes=0,
)  # fmt: skip


@pytest.fixture
def profile():
    names = {"teacher+mtcnn@fp32": "teacher", "student@bf16": "student", "other@fp32": "other"}
    rows = [
        replace(ROW, name=name, model=model, batch_size=size, latency_ms=16.0 / (i + 1))
        for size in (1, 4)
        for i, (name, model) in enumerate(names.items())
    ]
    tops = [
        Ceiling("fp32", 2, "matmul 2048", 3e11),
        Ceiling("fp32", 2, "conv a", 1e11),
        Ceiling("fp32", 2, "conv b", 2e11),
    ]
    settings = {"repeats": 20, "reference": "teacher+mtcnn@fp32"}
    return Profile(rows, tops, {"x@onnx": "no extra", "y@onnx": "no extra"}, {"cpu": "a"}, settings)


def write_metrics(path, **methods):
    content = {name: {"values": values} for name, values in methods.items()}
    path.write_text(json.dumps({"metrics": content}))
    return path


STUDENT = {"psnr": 28.0, "psnr_y": 30.0, "lpips_squeeze": 0.2, "grid_index": 1.3}
TEACHER = {"psnr": 28.5, "lpips_squeeze": 0.15}


class TestQuality:
    def test_it_is_joined_by_name(self, tmp_path, profile):
        path = write_metrics(tmp_path / "metrics.json", student=STUDENT, teacher=TEACHER)
        rows = {row.name: row.quality for row in with_quality(profile, read_quality([path])).rows}
        assert rows == {
            "student@bf16": {"psnr": 28.0, "lpips_squeeze": 0.2},
            "teacher+mtcnn@fp32": TEACHER,
            "other@fp32": {},
        }

    def test_a_form_that_was_evaluated_itself_goes_first(self, tmp_path, profile):
        own = {"psnr": 27.9, "lpips_squeeze": 0.21}
        first = write_metrics(tmp_path / "a.json", student=STUDENT)
        second = write_metrics(tmp_path / "b.json", **{"student@bf16": own})
        rows = with_quality(profile, read_quality([first, second])).rows
        assert rows[1].quality == own

    def test_files_of_other_faces(self, tmp_path):
        first = write_metrics(tmp_path / "a.json", bicubic={"psnr": 26.0})
        second = write_metrics(tmp_path / "b.json", bicubic={"psnr": 26.5})
        with pytest.raises(ConfigError, match="the same faces, but psnr of bicubic is 26"):
            read_quality([first, second])
        assert read_quality([first, first]) == {"bicubic": {"psnr": 26.0}}

    @pytest.mark.parametrize("text", ["", "[]", '{"metrics": 1}', '{"metrics": {"a": {}}}'])
    def test_other_files(self, tmp_path, text):
        path = tmp_path / "other.json"
        path.write_text(text)
        with pytest.raises(ConfigError, match="something else"):
            read_quality([path])

    def test_no_file(self, tmp_path):
        with pytest.raises(ConfigError, match="found none"):
            read_quality([tmp_path / "none.json"])

    @given(
        st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12),
        st.sampled_from(["higher", "lower"]),
    )
    def test_the_front_is_what_nothing_beats(self, points, better):
        front = [points[index] for index in pareto_front(points, better)]
        sign = 1 if better == "higher" else -1

        def beats(a, b):
            return a != b and a[0] <= b[0] and sign * a[1] >= sign * b[1]

        assert set(front) == {b for b in points if not any(beats(a, b) for a in points)}
        assert front == sorted(front)


class TestReport:
    def test_files(self, tmp_path, profile):
        write_profile(profile, tmp_path)
        with (tmp_path / "profile.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        assert [row["name"] for row in table] == [row.name for row in profile.rows]
        content = json.loads((tmp_path / "profile.json").read_text())
        assert content["rows"][1]["latency_ms"] == 8
        assert content["ceilings"][0] == {
            "precision": "fp32", "threads": 2, "operation": "matmul 2048",
            "flops_per_second": 3e11,
        }  # fmt: skip
        assert content["settings"]["reference"] == "teacher+mtcnn@fp32"
        assert (tmp_path / "profile.md").read_text() == profile_markdown(profile)
        assert (tmp_path / "profile.png").read_bytes().startswith(b"\x89PNG")
        assert not (tmp_path / "quality.png").exists()

    def test_markdown(self, profile):
        report = profile_markdown(profile)
        assert "| student@bf16 | 4 | 2 |" in report
        assert "- x@onnx, y@onnx: no extra" in report
        assert "| fp32 | 2 | conv b | 200.00 |" in report
        assert "conv a" not in report
        assert "psnr" not in report.lower()

    def test_with_quality(self, tmp_path, profile):
        path = write_metrics(tmp_path / "metrics.json", student=STUDENT, teacher=TEACHER)
        write_profile(with_quality(profile, read_quality([path])), tmp_path)
        with (tmp_path / "profile.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        assert [row["psnr"] for row in table[:3]] == ["28.5", "28.0", ""]
        header = (tmp_path / "profile.md").read_text().splitlines()[2]
        assert header.endswith("| psnr ↑ | lpips_squeeze ↓ |")
        assert (tmp_path / "quality.png").read_bytes().startswith(b"\x89PNG")

    def test_what_was_not_measured_has_no_column(self, profile):
        nothing = {"file_to_file_ms": None, "file_to_file_p90_ms": None, "peak_bytes": None}
        report = profile_markdown(
            replace(profile, rows=[replace(row, **nothing) for row in profile.rows], ceilings=[])
        )
        assert "file to file" not in report
        assert "peak, MB" not in report
        assert "Ceiling" not in report

    def test_the_screen_has_room(self, profile):
        text = io.StringIO()
        Console(file=text, width=80).print(profile_table(profile))
        assert "teacher+mtcnn@fp32" in text.getvalue()
        assert "…" not in text.getvalue()


def test_names_in_the_plot_cover_neither_each_other_nor_points(tmp_path, profile, monkeypatch):
    random = np.random.default_rng(0)
    rows = [
        replace(
            ROW, name=f"network_{i}@bf16", latency_ms=float(10 ** random.uniform(0, 3)),
            quality={"psnr": float(random.uniform(24, 29))},
        )
        for i in range(16)
    ]  # fmt: skip
    figures = []
    monkeypatch.setattr(
        "faceskd.profiling.plots._save", lambda figure, path: figures.append(figure)
    )
    plots.plot_quality(replace(profile, rows=rows), tmp_path / "quality.png")
    figure = figures[0]
    figure.draw_without_rendering()
    axis = figure.axes[0]
    notes = [text for text in axis.texts if text.get_text().startswith("network_")]
    assert len(notes) == 16
    boxes = [super(type(note), note).get_window_extent() for note in notes]
    for index, box in enumerate(boxes):
        assert box.count_overlaps(boxes[:index]) == 0
        points = axis.transData.transform([(row.latency_ms, row.quality["psnr"]) for row in rows])
        assert not any(box.contains(*point) for point in points)


def test_the_command(tmp_path, capsys):
    path = write_metrics(tmp_path / "metrics.json", bicubic={"psnr": 26.0, "lpips_squeeze": 0.5})
    words = [
        "profile", "models=[bicubic]", "forms=[fp32,bf16,fp16]", "threads=[1,2]",
        "batch_sizes=[1,2]", f"quality={path}", "repeats=1", "warmup=0", "memory=false",
        "ceiling=false", f"out={tmp_path / 'out'}",
    ]  # fmt: skip
    assert not cli(words)
    written = json.loads((tmp_path / "out" / "profile.json").read_text())
    assert len(written["rows"]) == 2 * 2 * 2
    assert written["rows"][0]["quality"]["psnr"] == 26
    assert "left out: bicubic@fp16: fp16 runs on a GPU only" in capsys.readouterr().err
