"""What a form costs in quality: figures, limits, and what the card and the user are told."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from faceskd.commands.export import summary
from faceskd.common.config import compose, compose_model, instantiate
from faceskd.common.images import read_image, to_tensor
from faceskd.common.listing import list_images
from faceskd.data.dataset import FaceDataset
from faceskd.data.degradation import Eq8
from faceskd.export import Limits, card_path, export_network
from faceskd.export.quality import measure_quality
from faceskd.faces.lr_faces import to_lr
from faceskd.models.baselines.interpolation import Interpolation
from faceskd.models.weights import build_network

BILINEAR = compose_model("bilinear")
PHOTOS = os.environ.get("FACESKD_FACES")


@pytest.fixture
def no_lpips(monkeypatch, tmp_path):
    """As on a machine without the weights of LPIPS."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no weights"))


@pytest.fixture(scope="module")
def faces(prepared_faces):
    return FaceDataset(prepared_faces, "test", Eq8())


def measure(change, faces, limits=Limits()):  # noqa: B008 - a tuple
    network = Interpolation(mode="bilinear")
    return measure_quality(
        network, lambda lr: change(network(lr)), faces, limits=limits, arithmetic="by six bits"
    )


@pytest.mark.usefixtures("no_lpips")
class TestWithoutLpips:
    def test_psnr_is_that_of_saved_images(self, faces):
        quality = measure(lambda sr: sr + 0.05, faces)
        network = Interpolation(mode="bilinear")
        figures = []
        for index in range(len(faces)):
            item = faces[index]
            sr = network(item["lr"][None])[0].clamp(0, 1).mul(255).round().div(255)
            figures.append(-10 * np.log10((sr - item["hr"]).square().mean().item()))
        assert quality.faces == len(faces) == 4
        assert quality.pytorch["psnr"] == pytest.approx(np.mean(figures), abs=1e-3)
        assert quality.difference["psnr"] == pytest.approx(
            quality.exported["psnr"] - quality.pytorch["psnr"]
        )
        assert quality.psnr_between_db == pytest.approx(-20 * np.log10(0.05), abs=0.5)

    def test_what_is_not_measured_leaves_the_verdict_open(self, faces):
        quality = measure(lambda sr: sr, faces)
        assert quality.difference == {"psnr": 0}
        assert quality.within_limits is None
        assert "lpips_squeeze was not measured" in quality.why

    @pytest.mark.parametrize(
        ("change", "limits", "verdict"),
        [
            (lambda sr: sr + 0.05, Limits(), False),
            (lambda sr: sr + 0.05, Limits(psnr=40), None),
            (lambda sr: 1 - sr, Limits(psnr=1), False),
        ],
        ids=["beyond", "within", "far beyond"],
    )
    def test_limits(self, change, limits, verdict, faces):
        quality = measure(change, faces, limits)
        assert quality.within_limits is verdict
        if verdict is False:
            assert quality.why.startswith("psnr changes by -")
            assert quality.why.endswith("by six bits")


class TestCard:
    @pytest.fixture(scope="class")
    def card(self, faces, tmp_path_factory):
        path = tmp_path_factory.mktemp("card") / "bilinear.safetensors"
        backend = instantiate(compose("export", ["format=bf16"]).format)
        network = build_network(BILINEAR)
        return path, export_network(
            network, path, backend=backend, model_config=BILINEAR, faces=faces
        )

    def test_quality_is_on_the_card(self, card):
        path, given = card
        quality = json.loads(card_path(path).read_text())["quality"]
        assert quality == json.loads(json.dumps(given["quality"]))
        assert quality["limits"] == {"psnr": 0.1, "lpips_squeeze": 0.005}
        assert quality["psnr_between_db"] > 40
        assert given["parity"]["faces"] == "real"

    def test_the_user_is_told(self, card):
        lines = summary("bilinear.safetensors", card[1])
        assert "accepted 0.1" in lines[0]
        assert lines[1].startswith("4 faces: psnr ")
        quality = card[1]["quality"] | {"within_limits": False, "why": "psnr changes by -3"}
        lines = summary("bilinear.safetensors", card[1] | {"quality": quality})
        assert lines[1].endswith("NOT within limits")
        assert lines[2] == "psnr changes by -3"
        assert len(summary("bilinear.safetensors", card[1] | {"quality": None})) == 1


class Photos:
    """Real faces as pairs, without detection: the centres of photos."""

    def __init__(self, paths: list[Path]) -> None:
        self.hr = [read_image(path) for path in paths]

    def __len__(self):
        return len(self.hr)

    def __getitem__(self, index):
        image = self.hr[index]
        side = min(image.shape[:2])
        top, left = ((length - side) // 2 for length in image.shape[:2])
        step = side // 256
        hr = image[top:, left:][: 256 * step : step, : 256 * step : step]
        return {"lr": to_tensor(to_lr(hr)), "hr": to_tensor(hr)}


@pytest.mark.skipif(PHOTOS is None, reason="FACESKD_FACES names no folder of photos")
def test_bf16_is_within_limits_on_real_faces(tmp_path):
    photos = list_images(Path(PHOTOS, "test"))[:40]
    large = [path for path in photos if min(read_image(path).shape[:2]) >= 256][:4]
    config = compose_model("lite_m", ["width=16", "blocks=1", "stage_widths=[16,16,16]"])
    torch.manual_seed(0)
    network = build_network(config)
    backend = instantiate(compose("export", ["format=bf16"]).format)
    card = export_network(
        network,
        tmp_path / "a.safetensors",
        backend=backend,
        model_config=config,
        faces=Photos(large),
    )
    quality = card["quality"]
    if quality["unavailable"]:
        pytest.skip(quality["why"])
    assert quality["within_limits"] is True
    assert quality["why"] == ""
    assert quality["pytorch"].keys() == quality["limits"].keys()
