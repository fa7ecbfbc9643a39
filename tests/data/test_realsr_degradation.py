"""RealSR's degradation: blur and noise of the pools, and a quarter of the size."""

import cv2
import numpy as np
import pytest
from skimage import data

from faceskd.common.errors import ConfigError
from faceskd.data.pools import KERNEL_SIDE, PATCH_SIDE, Pools, PoolsError
from faceskd.data.realsr_degradation import RealSRDegradation

DOT = np.zeros((1, KERNEL_SIDE, KERNEL_SIDE), np.float32)
DOT[0, KERNEL_SIDE // 2, KERNEL_SIDE // 2] = 1
NOISE = np.random.default_rng(0).normal(0, 5, (1, PATCH_SIDE, PATCH_SIDE, 3)).astype(np.float16)
NONE = np.zeros_like(NOISE)


def degradation(folder, kernels, noise, **options):
    Pools(kernels, noise, {}).save(folder / "pools.safetensors")
    return RealSRDegradation(folder / "pools.safetensors", **options)


@pytest.fixture(scope="module")
def photo():
    return data.astronaut()[:256, :256]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_without_blur_and_noise_it_is_a_reduction_by_area(photo, tmp_path, scale):
    degraded = degradation(tmp_path, DOT, NONE, scale=scale)(photo, np.random.default_rng(0))
    side = 256 // scale
    expected = cv2.resize(photo.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(degraded, expected.round().astype(np.uint8))


def test_the_kernel_is_in_pixels_of_the_reduced_photo(tmp_path):
    point = np.zeros((128, 128, 3), np.uint8)
    point[64:68, 64:68] = 255  # one pixel of the reduced photo
    kernel = cv2.getGaussianKernel(KERNEL_SIDE, 1.5)
    kernels = (kernel @ kernel.T)[None].astype(np.float32)
    degraded = degradation(tmp_path, kernels, NONE)(point, np.random.default_rng(0))
    spread = degraded[..., 0].astype(float) / degraded[..., 0].sum()
    offsets = np.arange(32) - 16
    assert np.sqrt((spread.sum(0) * offsets**2).sum()) == pytest.approx(1.5, rel=0.1)


def test_the_noise_of_the_pools_is_added(tmp_path):
    grey = np.full((256, 256, 3), 128, np.uint8)
    noise = degradation(tmp_path, DOT, NOISE)(grey, np.random.default_rng(0)) - 128.0
    assert noise.shape == (64, 64, 3)
    assert noise.std() == pytest.approx(NOISE.astype(float).std(), rel=0.1)


def test_bad_settings(photo, tmp_path):
    with pytest.raises(ConfigError, match="scale of at least 1, got 0"):
        degradation(tmp_path, DOT, NONE, scale=0)
    empty = degradation(tmp_path, DOT[:0], NOISE)
    with pytest.raises(ConfigError, match="got 0 kernels and 1 patches"):
        empty(photo, np.random.default_rng(0))
    with pytest.raises(PoolsError, match="faceskd pools"):
        RealSRDegradation(tmp_path / "none")(photo, np.random.default_rng(0))
