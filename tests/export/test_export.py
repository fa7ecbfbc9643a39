"""Exports: right files pass at every batch size, wrong ones never get their name."""

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import faceskd
from faceskd.commands.export import main as export
from faceskd.common.config import compose, compose_model, conf_dir, instantiate
from faceskd.common.errors import ConfigError, ExportError, MissingExtraError, WeightsError
from faceskd.common.files import sha256
from faceskd.data.sample_faces import sample_lr_faces
from faceskd.export import Backend, Exported, card_path, export_network
from faceskd.export.loading import LOADERS
from faceskd.export.onnx import Onnx, OnnxRuntime
from faceskd.export.parity import check_parity
from faceskd.export.safetensors import Safetensors
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse
from faceskd.models.weights import build_network, load_network, read_metadata

VGG = "faceskd.models.vgg.VGG19"
CONFIG = {"network": "lite", "width": 4}


class Tiny(SuperResolver):
    """The contract of every network, with the norms that an export has to fuse."""

    def __init__(self):
        super().__init__()
        self.inner = parametrizations.spectral_norm(nn.Conv2d(3, 4, 3, padding=1))
        self.outer = parametrizations.weight_norm(nn.Conv2d(4, 3, 3, padding=1))

    def forward_features(self, lr, boxes=None):
        base = nn.functional.interpolate(lr, scale_factor=8, mode="bilinear")
        return base + self.outer(torch.relu(self.inner(base))), []


class TinyTeacher(Tiny):
    needs_boxes = True


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Tiny().eval()


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "tiny.onnx"
    return path, export_network(network, path, backend=Onnx(), model_config=CONFIG)


class Changed(Backend):
    """A backend whose file computes something else than the network."""

    format = "wrong"
    suffix = ".pt"
    arithmetic = "wrong on purpose"
    tolerance = 1e-4

    def __init__(self, change, least_psnr=0.0):
        self.change = change
        self.least_psnr = least_psnr

    def write(self, network, path, metadata):
        self.network = network
        path.write_text("a file")

    def read(self, path, device, precision):
        def run(lr):
            with torch.no_grad():
                return self.change(self.network(lr))

        return Exported(self.format, self.precision, run)


@pytest.fixture
def changed(monkeypatch):
    def build(*options):
        backend = Changed(*options)
        monkeypatch.setitem(LOADERS, backend.suffix, backend.read)
        return backend

    return build


def fail_on_many(sr):
    if len(sr) > 2:
        raise RuntimeError("expected dimension 0 to be 2")
    return sr


def test_export_passes_at_batches_1_2_and_5_and_says_so(network, exported):
    path, card = exported
    assert card["parity"]["batch_sizes"] == (1, 2, 5)
    assert card["parity"]["max_abs_difference"] < 1e-5
    for batch in (1, 3):  # 3 was not checked by the export
        lr = torch.rand(batch, 3, 32, 32)
        with torch.no_grad():
            expected = network(lr)
        torch.testing.assert_close(OnnxRuntime(path)(lr), expected, atol=1e-5, rtol=0)


def test_card_describes_the_file(exported):
    path, card = exported
    assert json.loads(card_path(path).read_text()) == json.loads(json.dumps(card))
    assert card["sha256"] == sha256(path)
    assert card["bytes"] == path.stat().st_size
    assert card["parameters"] == 3 * 4 * 9 + 4 + 4 * 3 * 9 + 3 + 3  # weight norm adds 3 scales
    assert card["model"] == CONFIG
    assert card["versions"]["onnx"] == onnx.__version__


def test_metadata_is_inside_the_file(exported):
    metadata = OnnxRuntime(exported[0]).metadata
    assert json.loads(metadata["model"]) == CONFIG
    assert metadata["faceskd_version"] == faceskd.__version__
    assert metadata["opset"] == "20"


def test_graph_has_a_dynamic_batch_and_no_norm(exported):
    model = onnx.load(exported[0])
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    operators = {node.op_type for node in model.graph.node}
    assert "Conv" in operators
    assert not operators & {"ReduceL2", "LpNormalization", "Div", "MatMul"}


def test_fold_changes_neither_figures_nor_the_original(network):
    lr = sample_lr_faces(2)
    fused = fuse(network)
    with torch.no_grad():
        torch.testing.assert_close(fused(lr), network(lr))
    assert not any(parametrize.is_parametrized(module) for module in fused.modules())
    assert parametrize.is_parametrized(network.inner)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda sr: sr + 2e-4, r"off by 0\.0002"),
        (lambda sr: sr.flip(1), "off by"),
        (lambda sr: sr * torch.nan, "off by nan"),
        (lambda sr: sr[:, :, 1:], r"expected .*\(1, 3, 256, 256\).* got \(1, 3, 255, 256\)"),
        (fail_on_many, "fails at batch 5: expected dimension 0"),
    ],
    ids=["offset", "channels", "nan", "shape", "static batch"],
)
def test_parity_catches_a_wrong_export(network, changed, change, message, tmp_path):
    path = tmp_path / "tiny.pt"
    path.write_text("the file before")
    with pytest.raises(ExportError, match=message):
        export_network(network, path, backend=changed(change), model_config=CONFIG)
    assert path.read_text() == "the file before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["tiny.pt"]


def test_tolerance_is_the_callers_to_widen(network, changed, tmp_path):
    card = export_network(
        network,
        tmp_path / "tiny.pt",
        backend=changed(lambda sr: sr + 2e-4),
        model_config=CONFIG,
        tolerance=1e-3,
    )
    assert card["parity"]["max_abs_difference"] == pytest.approx(2e-4, rel=1e-2)
    assert card["parity"]["psnr_db"] == pytest.approx(-20 * np.log10(2e-4), abs=0.1)


def test_teacher_is_refused(tmp_path):
    with pytest.raises(ExportError, match="needs component boxes"):
        export_network(TinyTeacher(), tmp_path / "t.onnx", backend=Onnx(), model_config=CONFIG)
    assert not list(tmp_path.iterdir())


def test_other_suffix_is_refused(network, tmp_path):
    with pytest.raises(ExportError, match=r"ending in \.onnx.*'tiny\.pth'"):
        export_network(network, tmp_path / "tiny.pth", backend=Onnx(), model_config=CONFIG)


def test_missing_package_says_how_to_install_it(network, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"faceskd\[export\]"):
        export_network(network, tmp_path / "tiny.onnx", backend=Onnx(), model_config=CONFIG)


def test_parity_on_real_faces_takes_their_lr_faces(network):
    pairs = [{"lr": torch.full((3, 32, 32), index / 10)} for index in range(3)]
    seen = []

    def runtime(lr):
        seen.append(lr)
        with torch.no_grad():
            return network(lr)

    parity = check_parity(network, lambda: runtime, tolerance=0, faces=pairs)
    assert [len(lr) for lr in seen] == [1, 2, 5]
    assert seen[2].mean((1, 2, 3)).tolist() == pytest.approx([0, 0.1, 0.2, 0, 0.1])
    assert parity.faces == "real"
    assert parity.as_dict()["psnr_db"] is None


@pytest.mark.parametrize("content", [None, b"", b"not a graph"])
def test_file_that_is_no_onnx(content, tmp_path):
    path = tmp_path / "weights.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"weights\.onnx"):
        OnnxRuntime(path)


def test_onnx_of_somebody_else(tmp_path):
    value = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["image"], ["out"])
    graph = onnx.helper.make_graph([node], "g", [value], [out])
    opsets = [onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match=r"'lr'.*\['image'\]"):
        OnnxRuntime(tmp_path / "other.onnx")


def test_synthetic_faces_are_seeded_and_differ():
    faces = sample_lr_faces(4)
    assert faces.shape == (4, 3, 32, 32)
    assert 0 <= faces.min() < 0.3
    assert 0.7 < faces.max() <= 1
    assert torch.equal(faces, sample_lr_faces(4))
    assert not torch.equal(faces[0], faces[1])


def test_safetensors_holds_the_student_whole(tmp_path):
    config = compose_model("student_tiny") | {"encoder": {"_target_": VGG, "width": 4}}
    student = build_network(config, pretrained=False)
    path = tmp_path / "student.safetensors"
    card = export_network(
        student, path, backend=Safetensors(), model_config=config, training={"faces": 12}
    )
    assert card["parity"]["max_abs_difference"] < 1e-6
    assert read_metadata(path)["faces"] == 12
    assert read_metadata(path)["precision"] == "fp32"
    lr = sample_lr_faces(1)
    with torch.no_grad():
        torch.testing.assert_close(load_network(path)(lr), student.eval()(lr), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("word", "more", "message"),
    [
        ("calibration=faces", [], "add format=int8"),
        ("split=val", [], "add faces=FACES"),
        ("degradation=wide", [], "add faces=FACES"),
        ("seed=3", [], "add faces=FACES"),
        ("split=val", ["format=int8", "calibration=faces"], "add faces=FACES"),
    ],
)
def test_options_without_effect_are_refused(word, more, message, given_words):
    words = ["weights=lite-m", "out=a.onnx", word, *more]
    cfg = compose("export", words)
    given_words("export", *words)
    with pytest.raises(ConfigError, match=f"'{word}' has no effect: leave it out, or {message}"):
        export.task(cfg)


def test_out_is_another_file_than_the_weights(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"weights")
    words = [f"weights={tmp_path}/a.safetensors", f"out={tmp_path}/b/../a.safetensors"]
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigError, match="expected out as another file than weights"):
        export.task(compose("export", [*words, "format=safetensors"]))
    assert (tmp_path / "a.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize("name", sorted(p.stem for p in (conf_dir() / "format").glob("*.yaml")))
def test_every_backend_config_makes_a_backend(name):
    config = compose("export", [f"format={name}", "calibration=faces", "seed=5"])
    backend = instantiate(config.format)
    assert getattr(backend, "seed", 5) == 5
    assert backend.format == name
    assert backend.suffix.startswith(".")
    assert backend.tolerance >= 0
