"""Every form of a network: exported, checked, loaded again by its suffix, refused when broken."""

import json
import shutil
import zipfile

import onnx
import pytest
import torch
from torch.nn.utils import parametrize

from faceskd.common.config import compose, compose_model, instantiate
from faceskd.common.errors import (
    ConfigError,
    ExportError,
    FacesError,
    MissingExtraError,
    WeightsError,
)
from faceskd.data.degradation import Clean, Eq8
from faceskd.data.sample_faces import sample_lr_faces
from faceskd.export import Limits, card_path, export_network, load_exported
from faceskd.export.aot import Aot
from faceskd.export.eager import CudaGraphs, eager
from faceskd.export.int8 import Int8
from faceskd.export.onnx import Onnx
from faceskd.export.safetensors import Safetensors
from faceskd.metrics import psnr
from faceskd.models.registry import to_stored
from faceskd.models.weights import build_network, load_network, save_network
from faceskd.restore.restorer import Restorer

LITE = compose_model(
    "lite_m", ["width=16", "blocks=1", "stage_widths=[16,16,16]", "reparameterised=true"]
)
STUDENT = compose_model("student_tiny", ["encoder.width=4", "encoder.weights=random"])
needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="PyTorch sees no GPU, and fp16 runs on one only"
)


def lively(config, gain=1.6):
    """A network whose random weights change the enlarged face visibly."""
    torch.manual_seed(0)
    network = build_network(config).eval()
    for parameter in network.parameters():
        parameter.data.mul_(gain)
    return network


@pytest.fixture(scope="module")
def lite():
    return lively(LITE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("forms")


@pytest.fixture(scope="module")
def bf16(lite, folder):
    path = folder / "lite.bf16.safetensors"
    backend = instantiate(compose("export", ["format=bf16"]).format)
    return path, export_network(lite, path, backend=backend, model_config=LITE)


@pytest.fixture(scope="module")
def int8(lite, folder, prepared_faces):
    path = folder / "lite.int8.onnx"
    backend = Int8(calibration=prepared_faces, degradation=Eq8(), count=4)
    return path, export_network(lite, path, backend=backend, model_config=LITE)


@pytest.fixture(scope="module")
def aot(lite, folder):
    if not shutil.which("g++"):
        pytest.skip("there is no C++ compiler g++")
    path = folder / "lite.pt2"
    return path, export_network(lite, path, backend=Aot(), model_config=LITE)


def between(network, exported, lr):
    """PSNR of exported SR faces against the network's, dB, and the network's own liveliness."""
    with torch.inference_mode():
        expected = network(lr)
        plain = torch.nn.functional.interpolate(lr, scale_factor=8, mode="bilinear")
    return psnr(exported(lr), expected).min().item(), psnr(plain, expected).max().item()


class TestBf16:
    def test_the_file_is_fused_rounded_and_whole(self, lite, bf16, folder):
        path, card = bf16
        whole = folder / "lite.safetensors"
        save_network(whole, lite, LITE)
        assert path.stat().st_size < whole.stat().st_size / 2  # parallel kernels are one
        again = load_network(path)
        assert not any(parametrize.is_parametrized(module) for module in again.modules())
        assert card["precision"] == "bf16"
        assert card["parity"]["least_psnr_db"] == 40

    def test_it_is_run_in_bf16_unasked(self, lite, bf16):
        lr = sample_lr_faces(3)
        exported = load_exported(bf16[0])
        assert (exported.format, exported.precision) == ("bf16", "bf16")
        assert Restorer(bf16[0]).precision == "bf16"
        torch.testing.assert_close(exported(lr), eager(lite, precision="bf16")(lr), atol=0, rtol=0)

    def test_the_enlarged_face_stays_exact(self, lite, bf16):
        near, plain = between(lite, load_exported(bf16[0]), sample_lr_faces(2))
        assert near > 60 > 45 > plain  # a bf16 image alone is 59 dB from its fp32 one

    def test_other_precisions_on_demand(self, lite, bf16):
        near, _ = between(lite, load_exported(bf16[0], precision="fp32"), sample_lr_faces(1))
        assert 60 < near < 100  # rounded weights, exact sums

    def test_an_exported_file_can_be_exported_again(self, bf16, tmp_path):
        path = tmp_path / "again.safetensors"
        network = load_network(bf16[0])
        training = {"precision": "bf16", "fused": True}
        export_network(network, path, backend=Safetensors(), model_config=LITE, training=training)
        exported = load_exported(path)
        assert (exported.format, exported.precision) == ("safetensors", "fp32")

    def test_spectral_norm_is_fused_into_the_file(self, tmp_path):
        student = lively(STUDENT, gain=1)
        path = tmp_path / "student.safetensors"
        backend = Safetensors(precision="bf16", tolerance=0.1, least_psnr=40)
        card = export_network(student, path, backend=backend, model_config=STUDENT)
        assert card["parity"]["psnr_db"] > 45

    def test_too_low_a_psnr_is_refused(self, lite, tmp_path):
        backend = Safetensors(precision="bf16", tolerance=0.1, least_psnr=99)
        with pytest.raises(ExportError, match=r"PSNR of \d\d\.\d dB .* at least 99\.0 dB"):
            export_network(lite, tmp_path / "a.safetensors", backend=backend, model_config=LITE)
        assert not list(tmp_path.iterdir())


class TestFp16:
    def test_without_a_gpu_it_says_so(self, lite, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        backend = instantiate(compose("export", ["format=fp16"]).format)
        path = tmp_path / "lite.safetensors"
        with pytest.raises(ExportError, match=r"'cuda' does not exist: PyTorch finds 0 GPUs"):
            export_network(lite, path, backend=backend, model_config=LITE)
        assert not list(tmp_path.iterdir())
        metadata = {"model": json.dumps(LITE), "training": "{}", "precision": "fp16"}
        backend.write(lite, path, metadata)
        with pytest.raises(ConfigError, match="fp16 needs a GPU"):
            load_exported(path)

    @needs_gpu
    def test_graphs_give_what_fp32_gives_at_any_batch(self, lite, tmp_path):
        path = tmp_path / "lite.safetensors"
        backend = instantiate(compose("export", ["format=fp16"]).format)
        card = export_network(lite, path, backend=backend, model_config=LITE)
        assert card["parity"]["psnr_db"] > 60
        exported = load_exported(path, device="cuda")
        assert isinstance(exported.run, CudaGraphs)
        for lr in sample_lr_faces(6).split([1, 2, 1, 2]):  # each graph is replayed with other faces
            near, _ = between(lite, lambda lr: exported(lr).cpu(), lr)
            assert near > 60


class TestInt8:
    def test_card_and_loading(self, lite, int8):
        path, card = int8
        assert (card["format"], card["precision"]) == ("int8", "int8")
        assert card["parity"]["psnr_db"] > 35
        exported = load_exported(path)
        assert (exported.format, exported.precision) == ("int8", "int8")
        near, plain = between(lite, exported, sample_lr_faces(3))
        assert near > 40 > plain

    def test_inner_convolutions_only_are_quantised(self, int8):
        graph = onnx.load(int8[0]).graph
        scaled = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "DequantizeLinear"}
        convolutions = [node for node in graph.node if node.op_type == "Conv"]
        quantised = [node.input[1] in scaled for node in convolutions]
        assert quantised == [False] + [True] * (len(convolutions) - 2) + [False]
        scales = {n.output[0]: n.input[1] for n in graph.node if n.op_type == "DequantizeLinear"}
        sizes = {tensor.name: tensor.dims for tensor in graph.initializer}
        assert list(sizes[scales[convolutions[1].input[1]]]) == [16]  # one for each channel

    def test_the_file_says_what_calibrated_it(self, int8):
        metadata = {entry.key: entry.value for entry in onnx.load(int8[0]).metadata_props}
        assert metadata["calibration"].startswith("4 faces, Eq8(")
        assert json.loads(metadata["model"]) == to_stored(LITE)

    def test_its_limits_are_wider(self):
        assert Int8.limits == Limits(psnr=0.2, lpips_squeeze=0.01)
        assert Onnx.limits == Limits(psnr=0.1, lpips_squeeze=0.005)

    def test_precision_is_in_the_file(self, int8):
        with pytest.raises(ConfigError, match=r"expected precision=int8 for .*, got bf16"):
            Restorer(int8[0], precision="bf16")

    def test_faces_to_calibrate_on_are_needed(self, lite, tmp_path):
        with pytest.raises(ConfigError, match=r"calibration \(or faces\)"):
            instantiate(compose("export", ["format=int8"]).format)
        with pytest.raises(ConfigError, match="at least 1 face"):
            Int8(calibration=tmp_path, degradation=Eq8(), count=0)
        backend = Int8(calibration=tmp_path / "nowhere", degradation=Eq8())
        with pytest.raises(FacesError, match="nowhere"):
            export_network(lite, tmp_path / "a.onnx", backend=backend, model_config=LITE)

    def test_lr_faces_of_another_size_are_refused(self, lite, prepared_faces, tmp_path):
        backend = Int8(calibration=prepared_faces, degradation=Clean(lr_size=16), count=1)
        with pytest.raises(ConfigError, match=r"of 32 px .*, got 16 px: give degradation=paper"):
            export_network(lite, tmp_path / "a.onnx", backend=backend, model_config=LITE)

    def test_the_seed_is_that_of_the_degradations(self, lite, prepared_faces):
        first, again, other = (
            Int8(calibration=prepared_faces, degradation=Eq8(), count=1, seed=seed)._faces(lite)[0]
            for seed in (0, 0, 1)
        )
        assert (first == again).all() and (first != other).any()

    def test_missing_runtime_says_how_to_install_it(
        self, lite, prepared_faces, tmp_path, monkeypatch
    ):
        monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
        backend = Int8(calibration=prepared_faces, degradation=Eq8(), count=1)
        with pytest.raises(MissingExtraError, match=r"faceskd\[export\]"):
            export_network(lite, tmp_path / "a.onnx", backend=backend, model_config=LITE)


class TestAot:
    @pytest.mark.slow
    def test_compiled_code_gives_what_bf16_gives_at_any_batch(self, lite, aot):
        path, card = aot
        assert card["parity"]["psnr_db"] > 55
        exported = load_exported(path)
        assert (exported.format, exported.precision) == ("aot", "bf16")
        assert exported.run.metadata["model"] == json.dumps(to_stored(LITE))
        for batch in (1, 3):
            near, _ = between(lite, exported, sample_lr_faces(batch))
            assert near > 55
        assert Restorer(path).precision == "bf16"
        with pytest.raises(ConfigError, match="got fp32; only"):
            Restorer(path, precision="fp32")

    def test_missing_compiler_says_what_to_install(self, lite, tmp_path, monkeypatch):
        import torch._inductor.config as inductor

        monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
        with pytest.raises(ExportError, match=r"install g\+\+"):
            export_network(lite, tmp_path / "a.pt2", backend=Aot(), model_config=LITE)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("metadata", "error", "message"),
        [
            (None, WeightsError, "not a whole package"),
            ({"format": "another"}, WeightsError, "another one"),
            ({"format": "aot", "processor": "Z80"}, ConfigError, "processors with Z80"),
        ],
        ids=["no package", "foreign", "another processor"],
    )
    def test_what_is_not_ours_is_not_executed(
        self, metadata, error, message, tmp_path, monkeypatch
    ):
        path = tmp_path / "a.pt2"
        path.write_bytes(b"no archive")
        if metadata:
            with zipfile.ZipFile(path, "w") as package:
                package.writestr("a/model.wrapper_metadata.json", json.dumps(metadata))
        executed = []
        monkeypatch.setattr(torch._inductor, "aoti_load_package", executed.append)
        with pytest.raises(error, match=message):
            load_exported(path)
        assert not executed


class TestLoading:
    def test_training_s_own_files_are_fp32(self, lite, tmp_path):
        path = tmp_path / "weights.safetensors"
        save_network(path, lite, LITE)
        exported = load_exported(str(path))
        assert (exported.format, exported.precision) == ("safetensors", "fp32")
        lr = sample_lr_faces(2)
        with torch.inference_mode():
            torch.testing.assert_close(exported(lr), lite(lr), atol=1e-5, rtol=0)

    @pytest.mark.parametrize("name", ["weights.pth", "weights"])
    def test_other_suffixes_are_refused(self, name, tmp_path):
        (tmp_path / name).write_bytes(b"weights")
        with pytest.raises(WeightsError, match=r"\.safetensors, \.ckpt, \.onnx, \.pt2, got 'wei"):
            load_exported(tmp_path / name)

    def test_damage_is_an_error_of_weights(self, bf16, int8, tmp_path):
        for path, _ in (bf16, int8):
            torn = tmp_path / path.name
            torn.write_bytes(path.read_bytes()[:-200])
            with pytest.raises(WeightsError, match=torn.name):
                load_exported(torn)

    def test_cards_lie_beside_files(self, bf16, int8):
        for path, card in (bf16, int8):
            written = json.loads(card_path(path).read_text())
            assert written["arithmetic"] == card["arithmetic"]
            assert written["quality"] is None
