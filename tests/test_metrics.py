"""Every figure against an independent reference: scikit-image, SciPy, NumPy in its literal form."""

import hashlib
import math
import os
import socket
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from scipy.linalg import sqrtm
from scipy.ndimage import correlate1d
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from faceskd.errors import ConfigError, FaceskdError
from faceskd.metrics import (
    COLOUR_NAMES,
    METRIC_NAMES,
    MetricSuite,
    MetricUnavailable,
    build_metric,
    frechet_distance,
    grid_index,
    luma,
    ms_ssim,
    power_spectrum,
    psnr,
    ssim,
)
from faceskd.metrics.hub import cached_weights
from faceskd.metrics.identity import ARCFACE_TEMPLATE, Identity

SQUEEZENET = Path(os.environ.get("TORCH_HOME", "")) / "hub/checkpoints/squeezenet1_1-b8a52dc0.pth"
needs_squeezenet = pytest.mark.skipif(
    not (os.environ.get("TORCH_HOME") and SQUEEZENET.is_file()),
    reason="SqueezeNet's weights are not in TORCH_HOME",
)

WEIGHTS_HASH = hashlib.sha256(b"weights").hexdigest()[:8]


def smooth_images(count: int, side: int, seed: int = 0) -> torch.Tensor:
    """Images with structure at every scale, in 8-bit levels."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, side, side)
    for cells in (4, 16, side // 2):
        noise = torch.rand(count, 3, cells, cells, generator=generator)
        total += torch.nn.functional.interpolate(noise, side, mode="bicubic")
    return total.div(3).clamp(0, 1).mul(255).round().div(255)


def noisy(images: torch.Tensor, sigma: float | torch.Tensor = 0.05, seed: int = 1) -> torch.Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return (images + sigma * noise).clamp(0, 1)


def hwc(image: torch.Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).double().numpy()


class TestFidelity:
    hr = smooth_images(3, 48)
    sr = noisy(hr, torch.tensor([0.01, 0.05, 0.2]).view(3, 1, 1, 1))

    def test_psnr_is_scikit_images_for_each_image(self):
        expected = [
            peak_signal_noise_ratio(hwc(h), hwc(s), data_range=1.0)
            for s, h in zip(self.sr, self.hr, strict=True)
        ]
        assert psnr(self.sr, self.hr).tolist() == pytest.approx(expected, abs=1e-3)

    def test_ssim_is_scikit_images_in_wangs_settings(self):
        expected = [
            structural_similarity(
                hwc(h), hwc(s), data_range=1.0, channel_axis=-1,
                gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            )
            for s, h in zip(self.sr, self.hr, strict=True)
        ]  # fmt: skip
        assert ssim(self.sr, self.hr).tolist() == pytest.approx(expected, abs=1e-4)

    def test_luma_is_scikit_images(self):
        expected = np.stack([rgb2ycbcr(hwc(image))[..., 0] for image in self.hr]) / 255
        np.testing.assert_allclose(luma(self.hr)[:, 0].numpy(), expected, atol=1e-6)

    def test_y_metrics_are_those_of_luma(self):
        suite = MetricSuite(["psnr_y", "ssim_y"])
        sr8 = self.sr.mul(255).round().div(255)
        suite.update(self.sr, self.hr)
        scores = suite.compute().per_image
        assert scores["psnr_y"] == pytest.approx(psnr(luma(sr8), luma(self.hr)).tolist(), abs=1e-4)
        assert scores["ssim_y"] == pytest.approx(ssim(luma(sr8), luma(self.hr)).tolist(), abs=1e-5)

    def test_ms_ssim_is_near_its_literal_form(self):
        hr = smooth_images(2, 192, seed=5)
        sr = noisy(hr, 0.1)
        expected = [literal_ms_ssim(hwc(s), hwc(h)) for s, h in zip(sr, hr, strict=True)]
        # torchmetrics keeps reflected borders in the last scale's luminance
        assert ms_ssim(sr, hr).tolist() == pytest.approx(expected, abs=2e-3)

    def test_ms_ssim_of_one_image_keeps_its_axis(self):
        assert ms_ssim(*[smooth_images(1, 192)] * 2).shape == (1,)

    def test_identical_images_have_a_finite_psnr(self):
        assert psnr(self.hr, self.hr).tolist() == [100.0] * 3
        assert ssim(self.hr, self.hr).tolist() == pytest.approx([1.0] * 3)

    @given(st.floats(0.01, 0.9))
    @settings(max_examples=20, deadline=None)
    def test_psnr_of_a_constant_error(self, error):
        value = psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), error))
        assert value.item() == pytest.approx(-20 * math.log10(error), abs=1e-3)


def literal_ms_ssim(sr: np.ndarray, hr: np.ndarray) -> float:
    """Wang et al. 2003 with NumPy: contrast of five scales, luminance of the last."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def mean(x):
        return correlate1d(correlate1d(x, taps, axis=0), taps, axis=1)[5:-5, 5:-5]

    result = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        m1, m2 = mean(sr), mean(hr)
        v1, v2, v12 = mean(sr * sr) - m1**2, mean(hr * hr) - m2**2, mean(sr * hr) - m1 * m2
        value = (2 * v12 + 0.03**2) / (v1 + v2 + 0.03**2)
        if scale == 4:
            value = value * (2 * m1 * m2 + 0.01**2) / (m1**2 + m2**2 + 0.01**2)
        result *= value.mean() ** weight
        height, width = sr.shape[:2]
        sr, hr = (x.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3)) for x in (sr, hr))
    return float(result)


class TestFrechet:
    @given(st.integers(2, 40), st.integers(2, 40), st.integers(1, 20), st.integers(0, 99))
    @settings(max_examples=40, deadline=None)
    def test_is_the_formula_with_scipys_root(self, n, m, d, seed):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(n, d)), rng.normal(size=(m, d)) * rng.uniform(0.5, 2, d) + 1
        # SciPy's root fails on singular products (few images), so its eigenvalues stand in there
        s1, s2 = np.atleast_2d(np.cov(x.T)), np.atleast_2d(np.cov(y.T))
        if min(n, m) > d + 2:
            root = np.trace(sqrtm(s1 @ s2)).real
        else:
            half = sqrtm_symmetric(s1)
            root = np.trace(sqrtm_symmetric(half @ s2 @ half))
        expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * root
        got = frechet_distance(torch.from_numpy(x), torch.from_numpy(y))
        assert got == pytest.approx(expected, rel=1e-6, abs=1e-6)

    def test_seventy_images_of_512_features(self):
        features = torch.randn(70, 512, generator=torch.Generator().manual_seed(0)) * 10
        assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)
        assert frechet_distance(features, features + 1) == pytest.approx(512, rel=1e-6)

    def test_one_image_is_refused(self):
        with pytest.raises(MetricUnavailable, match="at least 2 images, got 1"):
            frechet_distance(torch.ones(1, 4), torch.ones(5, 4))

    @needs_squeezenet
    def test_squeezenet_of_batches_is_that_of_the_whole(self):
        hr = smooth_images(6, 64)
        whole, parts = (MetricSuite(["frechet_squeezenet"]) for _ in range(2))
        whole.update(noisy(hr), hr)
        for i in range(0, 6, 2):
            parts.update(noisy(hr)[i : i + 2], hr[i : i + 2])
        value = whole.compute().per_set["frechet_squeezenet"]
        assert value > 0
        assert parts.compute().per_set["frechet_squeezenet"] == pytest.approx(value, rel=1e-3)


def sqrtm_symmetric(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


class TestGridIndex:
    def test_is_its_definition(self):
        """Shifted spectrum and explicit loops, as the sentence of the definition reads."""
        images = noisy(smooth_images(2, 64))
        grey = images.permute(0, 2, 3, 1).double().numpy() @ np.array([0.299, 0.587, 0.114])
        power = (np.abs(np.fft.fft2(grey)) ** 2).mean(0)
        logs = []
        for v in range(-4, 5):
            for u in range(-4, 5):
                if max(abs(u), abs(v)) < 2:
                    continue
                row, column = v * 8, u * 8
                ring = [
                    power[(row + i) % 64, (column + j) % 64]
                    for i in range(-4, 5)
                    for j in range(-4, 5)
                    if not (abs(i) <= 1 and abs(j) <= 1)
                ]
                assert len(ring) == 72
                logs.append(np.log(power[row % 64, column % 64] / np.median(ring)))
        expected = np.exp(np.mean(logs))
        assert grid_index(power_spectrum(images) / 2) == pytest.approx(expected, rel=1e-6)

    def test_white_noise_is_near_one_and_a_grid_far_above(self):
        noise = torch.rand(8, 3, 256, 256, generator=torch.Generator().manual_seed(0))
        clean = grid_index(power_spectrum(noise))
        noise[..., ::8, ::8] += 0.5
        assert 0.8 < clean < 1.2
        assert grid_index(power_spectrum(noise)) > 5 * clean

    def test_flat_images_have_a_finite_index(self):
        assert math.isfinite(grid_index(power_spectrum(torch.zeros(1, 3, 64, 64))))

    def test_other_sizes_are_refused(self):
        with pytest.raises(MetricUnavailable, match="multiples of 8"):
            grid_index(torch.ones(250, 250))

    def test_photographs(self):
        faces = os.environ.get("FACESKD_FACES")
        if not faces:
            pytest.skip("FACESKD_FACES names no folder of photographs")
        from faceskd.images import list_images, read_image, to_tensor

        photos = [to_tensor(read_image(path)) for path in list_images(Path(faces) / "test")[:12]]
        crops = torch.stack([photo[:, 100:356, 100:356] for photo in photos])
        assert 1.0 < grid_index(power_spectrum(crops) / len(crops)) < 1.8


@needs_squeezenet
class TestLpips:
    def test_takes_zero_to_one(self):
        """Against torchmetrics' own LPIPS with normalize=True, for each image."""
        from torchmetrics.functional.image import learned_perceptual_image_patch_similarity as other

        hr = smooth_images(2, 64)
        sr = noisy(hr).mul(255).round().div(255)
        suite = MetricSuite(["lpips_squeeze"])
        suite.update(sr, hr)
        expected = [
            other(sr[i : i + 1], hr[i : i + 1], net_type="squeeze", normalize=True).item()
            for i in range(2)
        ]
        assert suite.compute().per_image["lpips_squeeze"] == pytest.approx(expected, abs=1e-5)


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
        with pytest.raises(MetricUnavailable, match="no ONNX file"):
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
            assert name.startswith(("psnr", "ssim", "ms_ssim", "grid_index", *COLOUR_NAMES))

    def test_a_failed_download_says_so(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        with pytest.raises(MetricUnavailable, match=r"net-12345678.pth.*download failed"):
            cached_weights("http://127.0.0.1:9/net-12345678.pth", allow_download=True)
        assert not (tmp_path / "checkpoints/net-12345678.pth").exists()

    def test_a_download_is_checked_against_the_hash_in_its_name(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        wrong, right = (tmp_path / f"net-{digits}.pth" for digits in ("00000000", WEIGHTS_HASH))
        for file in (wrong, right):
            file.write_bytes(b"weights")
        with pytest.raises(MetricUnavailable, match="expected a SHA-256 that begins with 00000000"):
            cached_weights(wrong.as_uri(), allow_download=True)
        assert list((tmp_path / "checkpoints").iterdir()) == []
        path = cached_weights(right.as_uri(), allow_download=True)
        assert path.read_bytes() == b"weights"

    def test_damaged_weights_are_named(self, tmp_path, monkeypatch):
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints/squeezenet1_1-b8a52dc0.pth").write_bytes(b"half a file")
        for name in ("lpips_squeeze", "frechet_squeezenet"):
            with pytest.raises(MetricUnavailable, match=r"squeezenet1_1-b8a52dc0.pth is damaged"):
                build_metric(name).load()

    def test_images_too_small_or_too_few(self):
        suite = MetricSuite(["psnr", "ms_ssim", "grid_index"])
        hr = smooth_images(1, 60)
        suite.update(noisy(hr), hr)
        assert set(suite.compute().summary()) == {"psnr"}
        assert "at least 176 pixels" in suite.unavailable["ms_ssim"]
        assert "multiples of 8" in suite.unavailable["grid_index"]


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
