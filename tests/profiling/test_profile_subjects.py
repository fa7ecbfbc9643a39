"""What is profiled: names, files and forms, and what becomes of those that cannot be."""

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from faceskd.common.config import compose_model
from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.images import to_tensor
from faceskd.data.sample_faces import sample_lr_faces
from faceskd.export import card_path, export_network
from faceskd.export.onnx import Onnx
from faceskd.export.safetensors import Safetensors
from faceskd.faces.components import boxes_from_landmarks
from faceskd.models.registry import to_stored
from faceskd.models.weights import build_network, load_network, save_network
from faceskd.portraits import render_portrait
from faceskd.pretrained import model_path
from faceskd.profiling import named
from faceskd.profiling.landmarks import MTCNNBoxes, typical_boxes
from faceskd.profiling.named import (
    Exports,
    Model,
    build_model,
    exported_subject,
    named_subjects,
)
from faceskd.profiling.profile import profile_models
from faceskd.profiling.subjects import Method, Subject
from faceskd.profiling.work import count_macs

CPU = torch.device("cpu")
TINY = compose_model("lite_s", ["width=16", "blocks=1", "stage_widths=[16,16,16]"])


@pytest.fixture
def tiny(tmp_path):
    """A file of weights of a tiny student."""
    path = tmp_path / "tiny.safetensors"
    save_network(path, build_network(TINY), TINY)
    return path


class TestNames:
    def test_models_in_all_forms(self):
        found = named_subjects(
            ["bicubic", "teacher_tiny"], forms=["fp32", "bf16"], landmarks=["given", "mtcnn"]
        )
        subjects = found.subjects
        assert list(subjects) == [
            "bicubic@fp32", "bicubic@bf16", "teacher_tiny@fp32", "teacher_tiny+mtcnn@fp32",
            "teacher_tiny@bf16", "teacher_tiny+mtcnn@bf16",
        ]  # fmt: skip
        assert not found.left_out
        assert subjects["teacher_tiny@fp32"].build is subjects["teacher_tiny+mtcnn@fp32"].build
        assert subjects["teacher_tiny+mtcnn@bf16"].model == "teacher_tiny"

    def test_trained_files_are_known_by_their_folder(self, tmp_path):
        for folder in ("mskd", "sskd"):
            save_network(tmp_path / folder / "weights.safetensors", build_network(TINY), TINY)
        models = [str(tmp_path / folder / "weights.safetensors") for folder in ("mskd", "sskd")]
        assert set(named_subjects(models).subjects) == {"mskd@fp32", "sskd@fp32"}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"models": ["no_such_model"]}, "no_such_model"),
            ({"models": ["none.onnx"]}, "found no file 'none.onnx'"),
            ({"models": ["bicubic"], "forms": ["fp8"]}, "fp8"),
            ({"models": ["bicubic"], "forms": ["onnx"]}, "onnx"),  # there is no folder for it
            ({"models": ["bicubic"], "landmarks": ["guess"]}, "guess"),
            ({"models": ["bicubic", "bicubic"]}, "different names"),
            ({"models": ["teacher_tiny"], "side": 512}, "takes aligned faces"),
            ({"models": ["scene"], "side": 0}, "expected side as a whole number"),
        ],
    )
    def test_impossible_ones(self, arguments, message):
        with pytest.raises((ConfigError, WeightsError), match=message):
            named_subjects(**arguments)

    @pytest.mark.parametrize(("model", "side", "work"), [("scene", 128, 1 / 4), ("lite_s", 512, 4)])
    def test_a_side_is_that_of_the_result(self, model, side, work):
        subject = named_subjects([model], side=side).subjects[f"{model}@fp32"]
        restored = subject.forward(subject.load(CPU), sample_lr_faces(1))()
        assert restored.shape == (1, 3, side, side)
        own = count_macs(build_model(model))
        assert count_macs(subject.build()) == pytest.approx(
            work * own, rel=0.05
        )  # borders are padded

    def test_a_side_that_is_no_multiple_of_the_scale(self):
        with pytest.raises(ConfigError, match="expected side as a multiple of the scale of lite_s"):
            build_model("lite_s", side=100)

    def test_fp16_needs_a_gpu(self):
        found = named_subjects(["bicubic"], forms=["fp32", "fp16"])
        assert list(found.subjects) == ["bicubic@fp32"]
        assert list(found.left_out) == ["bicubic@fp16"]
        assert "GPU" in found.left_out["bicubic@fp16"]


class TestForms:
    @pytest.mark.parametrize("form", ["fp32", "bf16"])
    def test_every_form_gives_fp32_faces_of_the_same_network(self, tiny, form):
        lr = sample_lr_faces(2)
        method = Subject(partial(build_model, str(tiny)), form).load(CPU)
        given = method(lr, None)
        with torch.inference_mode():
            expected = load_network(tiny)(lr)
        assert given.dtype == torch.float32
        assert (given - expected).abs().max() < (1e-5 if form == "fp32" else 0.02)

    def test_a_teacher_in_bf16_is_rounded_and_still_itself(self):
        teacher = build_model("teacher_tiny", atoms=8)
        lr, boxes = sample_lr_faces(2), typical_boxes(2)
        exact, rounded = (
            Subject(lambda: teacher, form).load(CPU)(lr, boxes) for form in ("fp32", "bf16")
        )
        assert rounded.dtype == torch.float32
        assert 0 < (exact - rounded).abs().max() < 0.05

    def test_without_a_prelude_boxes_are_typical_and_with_one_its_own(self):
        lr = torch.rand(2, 3, 32, 32)
        enlarged, given = [], []

        def prelude(faces):
            enlarged.append(faces.shape)
            return torch.full((len(faces), 4, 4), 7.0)

        def method(lr, boxes):
            given.append(boxes)
            return lr

        for boxes in (None, prelude):
            Subject(partial(build_model, "bicubic"), prelude=boxes).forward(Method(method), lr)()
        assert torch.equal(given[0], typical_boxes(2))
        assert (given[1] == 7).all()
        assert enlarged == [(2, 3, 256, 256)]

    def test_a_teacher_is_profiled_with_a_random_dictionary(self):
        subjects = {
            form: Subject(partial(build_model, "teacher_tiny", atoms=8), form)
            for form in ("fp32", "bf16")
        }
        profile = profile_models(
            subjects, warmup=0, repeats=1, memory=False, ceiling=False, end_to_end=False
        )
        assert all((row.dictionary_bytes or 0) > 0 for row in profile.rows)
        macs = [row.macs or 0 for row in profile.rows]
        assert macs[0] == macs[1] > 0

    def test_mtcnn_finds_the_components_of_a_portrait(self):
        portrait = render_portrait(0, size=256)
        blank = np.zeros_like(portrait.image)
        boxes = MTCNNBoxes()(to_tensor(np.stack([portrait.image, blank])))
        truth = torch.from_numpy(boxes_from_landmarks(portrait.landmarks))
        centres = (boxes[0, :, :2] + boxes[0, :, 2:]) / 2 - (truth[:, :2] + truth[:, 2:]) / 2
        assert centres.norm(dim=-1).max() < 20
        assert torch.equal(boxes[1], typical_boxes(1)[0])


class TestExported:
    def test_a_file_is_profiled_as_it_is_and_its_card_tells_its_work(self, tmp_path, tiny):
        pytest.importorskip("onnxruntime")
        path = tmp_path / "face.onnx"
        export_network(load_network(tiny), path, backend=Onnx(), model_config=TINY)
        subjects = named_subjects([str(path), str(tiny)], forms=["fp32"]).subjects
        assert list(subjects) == ["face@onnx", "tiny@fp32"]
        profile = profile_models(
            subjects, threads=[1, 2], warmup=0, repeats=1, memory=False, ceiling=False
        )
        rows: dict[Any, Any] = {(row.name, row.threads): row for row in profile.rows}
        assert len(rows) == 4
        assert rows["face@onnx", 2].macs == rows["tiny@fp32", 1].macs
        assert rows["face@onnx", 1].file_to_file_ms > 0

    def test_a_file_without_its_card_has_times_only(self, tmp_path, tiny):
        path = tmp_path / "face.bf16.safetensors"
        backend = Safetensors(precision="bf16", tolerance=0.5)
        export_network(load_network(tiny), path, backend=backend, model_config=TINY)
        card_path(path).unlink()
        subject = exported_subject(path)
        assert (subject.model, subject.form, subject.precision) == ("face", "bf16", "bf16")
        assert list(named_subjects([str(path)], forms=["fp32"]).subjects) == ["face@bf16"]
        profile = profile_models(
            {"a": subject}, warmup=0, repeats=1, memory=False, end_to_end=False, ceiling=False
        )
        assert profile.rows[0].macs is None
        assert profile.rows[0].latency_ms > 0

    def test_a_network_is_exported_into_a_form(self, tmp_path, tiny):
        exports = Exports(tmp_path / "exports")
        found = named_subjects(
            ["bicubic", "teacher_tiny", str(tiny)], forms=["safetensors", "int8"], exports=exports
        )
        assert list(found.subjects) == ["tiny@safetensors"]
        subject: Any = found.subjects["tiny@safetensors"]
        assert subject.file == tmp_path / "exports" / "tiny.safetensors.safetensors"
        assert json.loads(card_path(subject.file).read_text())["model"] == to_stored(TINY)
        lr = sample_lr_faces(1)
        with torch.inference_mode():
            assert torch.allclose(subject.load(CPU)(lr, None), load_network(tiny)(lr), atol=1e-5)
        assert "bicubic has none" in found.left_out["bicubic@safetensors"]
        assert "component boxes" in found.left_out["teacher_tiny@safetensors"]
        assert "calibrat" in found.left_out["tiny@int8"]

    @pytest.mark.parametrize(
        ("config", "degradation"), [("photo_s", "PhotoDegradation"), ("lite_s", "Eq8")]
    )
    def test_faces_to_calibrate_on_are_made_for_the_network(
        self, tmp_path, monkeypatch, config, degradation
    ):
        given = {}
        monkeypatch.setattr(named, "export_network", lambda *_, **options: given.update(options))
        plain = compose_model(config)
        model = Model("net", plain, lambda: build_network(plain))
        Exports(tmp_path, calibration="faces").write(model, "int8")
        assert type(given["backend"].degradation).__name__ == degradation
        assert given["backend"].calibration == "faces"

    def test_a_broken_file_does_not_end_the_run(self, tmp_path):
        (tmp_path / "broken.onnx").write_bytes(b"no onnx")
        found = named_subjects(["bicubic", str(tmp_path / "broken.onnx")])
        assert list(found.subjects) == ["bicubic@fp32"]
        assert list(found.left_out) == ["broken.onnx"]

    def test_neither_a_file_nor_a_network(self):
        with pytest.raises(ConfigError, match="without a file"):
            Subject(None, "onnx")


def test_the_teacher_of_the_package_comes_with_its_dictionary():
    network = build_model(str(model_path("teacher")))
    assert network.dictionary_sha256
