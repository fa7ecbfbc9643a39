"""Every figure against an independent reference: scikit-image, SciPy, NumPy in its literal form."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.noisy_images import noisy, smooth_images
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.ndimage import correlate1d
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance

from faceskd.metrics import (
    MetricSuite,
    MetricUnavailable,
    frechet_distance,
    grid_index,
    luma,
    ms_ssim,
    power_spectrum,
    psnr,
    ssim,
)

SQUEEZENET = Path(os.environ.get("TORCH_HOME", "")) / "hub/checkpoints/squeezenet1_1-b8a52dc0.pth"
needs_squeezenet = pytest.mark.skipif(
    not (os.environ.get("TORCH_HOME") and SQUEEZENET.is_file()),
    reason="SqueezeNet's weights are not in TORCH_HOME",
)


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

    def test_is_that_of_torchmetrics(self):
        class Identity(nn.Module):
            num_features = 6

            def forward(self, features):
                return features

        generator = torch.Generator().manual_seed(0)
        x, y = (torch.randn(40, 6, generator=generator, dtype=torch.float64) for _ in range(2))
        reference = FrechetInceptionDistance(Identity()).set_dtype(torch.float64)
        reference.update(x, real=True)
        reference.update(2 * y + 1, real=False)
        expected = reference.compute().item()
        assert frechet_distance(x, 2 * y + 1) == pytest.approx(expected, rel=1e-9)

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
        from faceskd.common.images import read_image, to_tensor
        from faceskd.common.listing import list_images

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
