"""Degradation at 512 px: kernels against their definitions, seeds, extremes, pools."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faceskd.common.config import compose, instantiate
from faceskd.common.errors import ConfigError
from faceskd.data.photo_degradation import PhotoDegradation, anisotropic_kernel, disk_kernel
from faceskd.data.pools import Pools
from faceskd.portraits import render_portrait

PLAIN = {"twice": 0, "untouched": 0, "halo": 0, "grain": 0, "noise": 0.0}


@pytest.fixture(scope="module")
def face():
    return render_portrait(3, size=128).image


def moments(kernel):
    """Standard deviations along x and y, and the covariance."""
    half = len(kernel) // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    return [math.sqrt((kernel * a * a).sum()) for a in (x, y)] + [float((kernel * x * y).sum())]


def test_an_anisotropic_kernel_is_a_gaussian_of_its_two_deviations():
    along, across, covariance = moments(anisotropic_kernel(3.0, 1.2, 0.0))
    assert (along, across) == (pytest.approx(3.0, rel=0.02), pytest.approx(1.2, rel=0.02))
    assert covariance == pytest.approx(0, abs=1e-9)
    turned = moments(anisotropic_kernel(3.0, 1.2, math.pi / 2))
    assert turned[:2] == [pytest.approx(across), pytest.approx(along)]
    assert moments(anisotropic_kernel(3.0, 1.2, math.pi / 4))[2] > 1


@pytest.mark.parametrize("radius", [1.0, 2.0, 5.3])
def test_a_disk_has_the_deviation_of_a_disk(radius):
    kernel = disk_kernel(radius)  # uniform: half the radius; the soft edge adds a little
    assert kernel.sum() == pytest.approx(1)
    assert radius / 2 <= moments(kernel)[0] <= radius / 2 + 0.25


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_the_generator_alone_decides_and_size_and_type_stay(face, seed):
    once, again = (PhotoDegradation()(face, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert once.shape == face.shape and once.dtype == np.uint8


def test_a_smaller_side_leaves_less(face):
    errors = []
    for side in (400, 100, 25):
        degradation = PhotoDegradation(**PLAIN, side=(side, side), blur=(0.3, 0.3), jpeg=(95, 95))
        errors.append(np.abs(degradation(face, np.random.default_rng(0)) * 1.0 - face).mean())
    assert errors[0] < errors[1] < errors[2]


def test_untouched_faces_are_copies(face):
    result = PhotoDegradation(untouched=1.0)(face, np.random.default_rng(0))
    np.testing.assert_array_equal(result, face)
    assert result is not face


def test_a_window_is_degraded_as_a_part_of_its_frame():
    """A window of half a frame is reduced to half the side: 10 px of it are left."""
    degradation = PhotoDegradation(**PLAIN, side=(20, 20), blur=(0.1, 0.1), jpeg=(100, 100))
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    spectrum = np.abs(np.fft.fft2(degradation(noise, np.random.default_rng(1)).mean(2)))[0]
    assert spectrum[1:5].max() > 20 * spectrum[20:128].max()


def test_pools_are_drawn_from(tmp_path):
    kernel = np.zeros((1, 21, 21), np.float32)
    kernel[0, :, 10] = 1 / 21  # a vertical line
    Pools(kernel, np.zeros((1, 32, 32, 3), np.float16), {}).save(tmp_path / "pools.safetensors")
    degradation = PhotoDegradation(
        **PLAIN, side=(512, 512), jpeg=(100, 100), pooled=1.0, pools=tmp_path / "pools.safetensors"
    )
    rows = np.zeros((128, 128, 3), np.uint8)
    rows[::4] = 255  # the line mixes horizontal stripes and leaves vertical ones
    columns = rows.transpose(1, 0, 2).copy()
    mixed, left = (degradation(image, np.random.default_rng(0)) for image in (rows, columns))
    assert mixed[16:-16].std() < 20 < left[16:-16].std()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": (600, 20)}, "expected side as"),
        ({"jpeg": (0, 50)}, "expected jpeg as"),
        ({"twice": 1.5}, "expected twice as a probability"),
        ({"noise": -1.0}, "expected noise of at least 0"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PhotoDegradation(**options)


def test_the_config_says_the_defaults(face):
    built = instantiate(compose("train", ["degradation@data.degradation=photo"]).data.degradation)
    results = [d(face, np.random.default_rng(4)) for d in (built, PhotoDegradation())]
    np.testing.assert_array_equal(*results)
