"""The comparison: same faces for all, honest rows, errors before work is lost."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from faceskd.common.errors import ConfigError, FacesError, FaceskdError, WeightsError
from faceskd.common.files import make_folder
from faceskd.common.images import to_uint8, write_image
from faceskd.data.manifest import OK, Record, write_manifest
from faceskd.evaluation.evaluate import bootstrap_interval, evaluate
from faceskd.metrics import MetricSuite, psnr

BOXES = [[60, 80, 110, 130], [140, 80, 190, 130], [100, 110, 150, 160], [90, 160, 160, 230]]
LANDMARKS = [[85, 105], [165, 105], [125, 140], [100, 195], [150, 195]]


def fake_faces(count: int = 5) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    faces = []
    for i in range(count):
        lr = torch.rand(3, 32, 32, generator=generator).mul(255).round().div(255)
        hr = nn.functional.interpolate(lr[None], 256, mode="bilinear")[0]
        hr = hr.mul(255).round().div(255)
        boxes, landmarks = torch.tensor(BOXES).float(), torch.tensor(LANDMARKS).float()
        faces.append(
            {"lr": lr, "hr": hr, "boxes": boxes, "landmarks": landmarks, "name": f"face{i}"}
        )
    return faces


class Repeat(nn.Module):
    """Pixels repeated, after a convolution that changes nothing; notes how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data = torch.eye(3).view(3, 3, 1, 1)
        self.calls: list[tuple] = []

    def forward(self, lr, boxes=None):
        features = self.conv(lr)
        self.calls.append((len(lr), boxes.shape, self.training, features.dtype))
        return features.repeat_interleave(8, 2).repeat_interleave(8, 3)


def run(methods, faces=None, names=("psnr", "grid_index"), **options):
    faces = fake_faces() if faces is None else faces
    return evaluate(methods, faces, MetricSuite(names), progress=False, **options)


class Cheat(Repeat):
    """The HR face, where it is given."""

    privileged = True

    def forward(self, lr, boxes=None, hr=None):
        return super().forward(lr, boxes) if hr is None else hr


def test_privileged_methods_get_the_hr_faces_where_it_is_asked_for():
    methods = {"blind": Cheat(), "told": Cheat(), "other": Repeat()}
    evaluation = run(methods, privileged=["told"])
    psnr = {name: evaluation.scores[name].summary()["psnr"] for name in methods}
    assert psnr["told"] > 90 > psnr["blind"] == psnr["other"]
    assert evaluation.settings["privileged"] == ["told"]
    assert "privileged" not in run(methods).settings
    with pytest.raises(ConfigError, match=r"of \['blind', 'told'\]; got 'other'"):
        run(methods, privileged=["other"])


def test_rows_are_bicubic_methods_and_hr_in_order():
    evaluation = run({"b": Repeat(), "a": Repeat()}, batch_size=2)
    rows = evaluation.rows()
    assert [row["method"] for row in rows] == ["bicubic", "b", "a", "hr"]
    assert list(rows[0]) == ["method", "psnr", "grid_index"]
    assert list(rows[-1]) == ["method", "grid_index"]
    assert rows[1]["psnr"] == rows[2]["psnr"]


def test_figures_are_means_over_faces_whatever_the_batch():
    faces = fake_faces()
    network = Repeat()
    expected = [psnr(network(f["lr"][None], f["boxes"][None]), f["hr"][None]).item() for f in faces]
    for size in (1, 2, 5):
        scores = run({"repeat": network}, faces, batch_size=size).scores["repeat"]
        assert scores.faces == [f"face{i}" for i in range(5)]
        assert scores.per_image["psnr"] == pytest.approx(expected, abs=1e-4)
        assert scores.summary()["psnr"] == pytest.approx(np.mean(expected), abs=1e-4)


def test_bicubic_is_pils():
    """In PIL's floating-point mode, whose passes do not clip."""
    pictures = run({}, show=2).pictures
    for channel in range(3):
        lr = Image.fromarray(pictures["lr"][0, channel].numpy())
        pil = np.asarray(lr.resize((256, 256), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(pictures["bicubic"][0, channel].numpy(), pil, atol=1e-5)


def test_hr_row_has_the_grid_index_of_the_hr_faces():
    faces = fake_faces()
    by_lr = {f["lr"].numpy().tobytes(): f["hr"] for f in faces}

    def oracle(lr, boxes):
        return torch.stack([by_lr[image.contiguous().numpy().tobytes()] for image in lr])

    evaluation = run({"oracle": oracle}, faces)
    oracle_row, hr_row = evaluation.rows()[1:]
    assert oracle_row["psnr"] == 100
    assert oracle_row["grid_index"] == pytest.approx(hr_row["grid_index"], rel=1e-6)


def test_networks_run_in_eval_mode_with_boxes_and_get_their_modes_back():
    network = nn.Sequential()
    network.add_module("inner", Repeat())
    network.train()
    network.inner.conv.eval()  # a frozen part

    class Wrapped(Repeat):
        def __init__(self):
            super().__init__()
            self.inner = network

        def forward(self, lr, boxes=None):
            return self.inner.inner(lr, boxes)

    run({"network": Wrapped()}, batch_size=2)
    assert [call[:3] for call in network.inner.calls] == [
        (size, (size, 4, 4), False) for size in (2, 2, 1)
    ]
    assert (network.training, network.inner.conv.training) == (True, False)


def test_bf16_runs_networks_in_bf16_and_measures_in_fp32():
    network = Repeat()
    bf16 = run({"network": network}, precision="bf16")
    assert {call[3] for call in network.calls} == {torch.bfloat16}
    fp32 = run({"network": Repeat()})
    rows = [e.rows() for e in (bf16, fp32)]
    assert rows[0][0]["psnr"] == rows[1][0]["psnr"]  # bicubic is no network to speed up
    assert rows[0][1]["psnr"] == pytest.approx(rows[1][1]["psnr"], abs=0.5)
    assert bf16.settings["precision"] == "bf16"


@pytest.mark.parametrize("show", [0, 1, 3, 9])
def test_pictures_are_the_first_faces(show):
    faces = fake_faces()
    evaluation = run({"repeat": Repeat()}, faces, batch_size=2, show=show)
    kept = min(show, 5)
    assert list(evaluation.pictures) == ["lr", "bicubic", "repeat", "hr"]
    assert {len(images) for images in evaluation.pictures.values()} == {kept}
    assert evaluation.boxes.shape == (kept, 4, 4)
    for i in range(kept):
        assert torch.equal(evaluation.pictures["hr"][i], faces[i]["hr"])


@pytest.mark.parametrize(
    ("methods", "options", "message"),
    [
        ({"bicubic": Repeat()}, {}, "other than 'bicubic' for a method"),
        ({}, {"faces": []}, "at least one face"),
        ({}, {"batch_size": 0}, "expected batch_size as a whole number of at least 1, got 0"),
        ({}, {"batch_size": "auto"}, "expected batch_size as a whole number"),
        ({}, {"show": "all"}, "expected show as a whole number of at least 0, got 'all'"),
        ({}, {"show": None}, "expected show as a whole number of at least 0, got None"),
        ({}, {"precision": "fp8"}, "precision as one of fp32, bf16, got 'fp8'"),
        ({}, {"device": "abacus"}, "expected a device such as cpu or cuda, got 'abacus'"),
        ({"small": lambda lr, boxes: lr}, {}, r"from 'small', got \(5, 3, 32, 32\)"),
        (
            {"nan": lambda lr, boxes: lr.new_full((5, 3, 256, 256), torch.nan)},
            {},
            "expected finite values from 'nan'",
        ),
    ],
)
def test_impossible_requests_say_what_is_wrong(methods, options, message):
    with pytest.raises(ConfigError, match=message):
        run(methods, **options)


def test_metrics_that_cannot_be_measured_are_reported_not_blank(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    evaluation = run({}, names=("psnr", "lpips_alex", "identity"))
    assert evaluation.metrics == ["psnr"]
    assert set(evaluation.unavailable) == {"lpips_alex", "identity"}


def test_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        low, high = bootstrap_interval(list(rng.normal(3, 2, size=40)), resamples=400)
        hits += low < 3 < high
    assert 50 <= hits <= 60
    assert bootstrap_interval([1.0, 2.0, 4.0]) == bootstrap_interval([1.0, 2.0, 4.0])
    with pytest.raises(ConfigError, match="at least 2"):
        bootstrap_interval([1.0])


@pytest.fixture
def prepared(tmp_path):
    """A folder of three prepared faces."""
    folder = make_folder(tmp_path / "faces")
    records = []
    for face in fake_faces(3):
        path = f"test/{face['name']}.png"
        write_image(folder / path, to_uint8(face["hr"]))
        records.append(Record(path, OK, "", "test", face["name"], path, LANDMARKS, BOXES))
    write_manifest(folder, records)
    return folder


class TestFiles:
    def options(self, prepared, tmp_path, **other):
        from faceskd.data.degradation import Clean

        return {
            "faces": str(prepared), "split": "test", "out": str(tmp_path / "out"), "methods": {},
            "degradation": Clean(), "metrics": ["psnr", "ssim"], "show": 2,
        } | other  # fmt: skip

    def test_writes_the_report(self, prepared, tmp_path):
        from faceskd.commands.evaluate import evaluate_files
        from faceskd.models.baselines.interpolation import Interpolation
        from faceskd.models.weights import save_network

        config = {
            "_target_": "faceskd.models.baselines.interpolation.Interpolation",
            "mode": "lanczos",
        }
        file = tmp_path / "lanczos.safetensors"
        save_network(file, Interpolation(mode="lanczos"), config)
        options = self.options(prepared, tmp_path, methods={"lanczos": str(file), "student": None})
        evaluation = evaluate_files(**options)
        assert [row["method"] for row in evaluation.rows()][:2] == ["bicubic", "lanczos"]
        out = tmp_path / "out"
        with (out / "per_image.csv").open() as table:
            assert len(list(csv.DictReader(table))) == 6
        record = json.loads((out / "metrics.json").read_text())
        assert record["settings"]["methods"] == {"lanczos": str(file)}
        assert (out / "report.md").is_file()

    def test_one_word_is_a_list_of_one(self, prepared, tmp_path):
        from faceskd.commands.evaluate import main
        from faceskd.common.config import compose

        words = [f"faces={prepared}", f"out={tmp_path}/out", "metrics=psnr", "groups=null"]
        main.task(compose("evaluate", words))
        record = json.loads((tmp_path / "out" / "metrics.json").read_text())
        assert list(record["metrics"]["bicubic"]["values"]) == ["psnr"]
        with pytest.raises(ConfigError, match=r"expected pictured of .*; got 'student'"):
            main.task(compose("evaluate", [*words, "pictured=student"]))

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"faces": "nowhere"}, FacesError, "no manifest.csv"),
            ({"split": "val"}, FacesError, "no face in the split 'val'"),
            ({"methods": {"student": "none.safetensors"}}, WeightsError, "'student'"),
            ({"face_model": "none.onnx"}, ConfigError, "at 'none.onnx', found none"),
            ({"dictionary": "none.safetensors"}, FaceskdError, "found none"),
        ],
    )
    def test_paths_are_checked_first(self, prepared, tmp_path, change, error, message):
        from faceskd.commands.evaluate import evaluate_files

        with pytest.raises(error, match=message):
            evaluate_files(**self.options(prepared, tmp_path, **change))
        assert not (tmp_path / "out").exists()
