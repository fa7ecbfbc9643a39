"""Identity, metrics that cannot be measured here, and all of them together."""

import os
import socket
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from helpers.noisy_images import noisy, smooth_images
from onnx import TensorProto, helper

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.metrics import (
    COLOUR_NAMES,
    METRIC_NAMES,
    MetricSuite,
    MetricUnavailable,
    build_metric,
)
from faceskd.metrics.identity import ARCFACE_TEMPLATE, Identity


@pytest.fixture
def embedding_model(tmp_path) -> Path:
    """An ONNX "network": averages of 16x16 cells of the normalised crop, batch of one."""
    nodes = [
        helper.make_node("AveragePool", ["x"], ["p"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "cells",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 147])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path / "cells.onnx"
    onnx.save(model, path)
    return path


class TestIdentity:
    def test_is_the_cosine_of_aligned_crops(self, embedding_model):
        """Landmarks that lie on the template scaled by 2: the crop is the image at half size."""
        hr = smooth_images(2, 224)
        sr = noisy(hr, 0.2).mul(255).round().div(255)
        landmarks = torch.tensor(ARCFACE_TEMPLATE * 2).float().expand(2, 5, 2)
        got = Identity(embedding_model).per_image(sr, hr, landmarks)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406),
                                                             (0.229, 0.224, 0.225)))  # fmt: skip
        cells = [torch.nn.functional.avg_pool2d((x - mean) / std, 32).flatten(1) for x in (sr, hr)]
        expected = torch.nn.functional.cosine_similarity(*cells)
        assert got.tolist() == pytest.approx(expected.tolist(), abs=5e-3)

    def test_same_face_is_one_and_the_name_carries_the_file(self, embedding_model):
        hr = smooth_images(3, 112)
        landmarks = torch.tensor(ARCFACE_TEMPLATE).float().expand(3, 5, 2)
        suite = MetricSuite(["identity"], face_model=embedding_model)
        suite.update(hr, hr, landmarks)
        assert suite.compute().per_image == {"identity_cells": pytest.approx([1.0] * 3)}

    def test_landmarks_are_wanted(self, embedding_model):
        hr = smooth_images(1, 112)
        with pytest.raises(ConfigError, match=r"landmarks of shape \(B, 5, 2\), got None"):
            MetricSuite(["identity"], face_model=embedding_model).update(hr, hr)

    @pytest.mark.parametrize("content", [b"", b"no onnx"])
    def test_a_broken_file_is_unavailable(self, tmp_path, content):
        path = tmp_path / "broken.onnx"
        path.write_bytes(content)
        with pytest.raises(MetricUnavailable, match="not an ONNX file"):
            Identity(path).load()

    def test_mobilefacenet_knows_a_face_from_another(self):
        weights = Path(os.environ.get("FACESKD_WEIGHTS", "")) / "mobilefacenet.onnx"
        if not (os.environ.get("FACESKD_WEIGHTS") and weights.is_file()):
            pytest.skip("FACESKD_WEIGHTS holds no mobilefacenet.onnx")
        metric = Identity(weights)
        hr = smooth_images(2, 112)
        landmarks = torch.tensor(ARCFACE_TEMPLATE).float().expand(2, 5, 2)
        same = metric.per_image(noisy(hr, 0.01), hr, landmarks)
        other = metric.per_image(hr.flip(0), hr, landmarks)
        assert (same > other).all()


class TestUnavailable:
    def test_missing_weights_leave_the_others_standing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        suite = MetricSuite(["psnr", "lpips_alex", "frechet_squeezenet", "fid", "identity"])
        assert suite.unavailable == {}
        hr = smooth_images(2, 64)
        suite.update(noisy(hr), hr, torch.zeros(2, 5, 2))
        assert set(suite.compute().summary()) == {"psnr"}
        assert set(suite.unavailable) == {"lpips_alex", "frechet_squeezenet", "fid", "identity"}
        for name in ("lpips_alex", "frechet_squeezenet"):
            for word in (str(tmp_path), "https://", "allow_download=true", "TORCH_HOME"):
                assert word in suite.unavailable[name]

    def test_nothing_is_fetched_unless_allowed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

        def refuse(*_, **__):
            raise AssertionError("the network was used")

        monkeypatch.setattr(socket, "create_connection", refuse)
        for name in METRIC_NAMES:
            metric = build_metric(name)
            try:
                metric.load()
            except MetricUnavailable:
                continue
            in_the_package = ("psnr", "ssim", "ms_ssim", "grid_index", "niqe", *COLOUR_NAMES)
            assert name.startswith(in_the_package)

    def test_damaged_weights_are_named(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints/squeezenet1_1-b8a52dc0.pth").write_bytes(b"half a file")
        for name in ("lpips_squeeze", "frechet_squeezenet"):
            with pytest.raises(MetricUnavailable, match=r"squeezenet1_1-b8a52dc0.pth' is damaged"):
                build_metric(name).load()

    def test_images_too_small_or_too_few(self):
        suite = MetricSuite(["psnr", "ms_ssim", "grid_index"])
        hr = smooth_images(1, 60)
        suite.update(noisy(hr), hr)
        assert set(suite.compute().summary()) == {"psnr"}
        assert "at least 176 pixels" in suite.unavailable["ms_ssim"]
        assert "multiples of 8" in suite.unavailable["grid_index"]

    def test_one_that_fails_later_is_left_out_whole(self):
        suite = MetricSuite(["psnr", "niqe", "frechet_squeezenet"])
        suite.unavailable["frechet_squeezenet"] = "not now"
        small = smooth_images(1, 60)
        large = smooth_images(1, 256)
        suite.update(noisy(large), large)
        assert "niqe" not in suite.unavailable
        suite.update(noisy(small), small)
        scores = suite.compute()
        assert "NIQE expects images of at least" in suite.unavailable["niqe"]
        assert set(scores.per_image) == {"psnr"} and len(scores.per_image["psnr"]) == 2


class TestSuite:
    def test_figures_are_those_of_the_saved_image(self):
        hr = torch.full((1, 3, 16, 16), 100 / 255)
        suite = MetricSuite(["psnr"])
        suite.update(hr + 0.4 / 255, hr)
        suite.update(hr * 0 + 7.0, hr * 0 + 1.0)
        assert suite.compute().per_image["psnr"] == [100.0, 100.0]

    def test_batches_names_and_reset(self):
        hr = smooth_images(3, 16)
        suite = MetricSuite(["psnr"])
        suite.update(noisy(hr)[:2], hr[:2], names=["a", "b"])
        suite.update(noisy(hr)[2:], hr[2:], names=["c"])
        scores = suite.compute()
        assert scores.faces == ["a", "b", "c"]
        assert scores.summary()["psnr"] == pytest.approx(np.mean(scores.per_image["psnr"]))
        suite.reset()
        with pytest.raises(ConfigError, match="got none"):
            suite.compute()

    @pytest.mark.parametrize("names", [["psnr", "psnr"], ["lpips"], ["fid_squeezenet"]])
    def test_unknown_or_repeated_names(self, names):
        with pytest.raises(FaceskdError):
            MetricSuite(names)

    def test_shapes_must_agree(self):
        with pytest.raises(ConfigError, match="one shape"):
            MetricSuite(["psnr"]).update(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 16, 16))
