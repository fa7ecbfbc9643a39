"""Pools: kernels and noise that were put into pictures are found again."""

import cv2
import numpy as np
import pytest
from skimage import data

from faceskd.commands.pools import main
from faceskd.common.config import compose
from faceskd.common.errors import ConfigError
from faceskd.common.images import write_image
from faceskd.data.pools import Pools, PoolsError, estimate_kernel, estimate_pools, noise_patches


@pytest.fixture(scope="module")
def photo():
    return data.astronaut()


def deviation(kernel, axis):
    half = len(kernel) // 2
    places = np.mgrid[-half : half + 1, -half : half + 1][axis]
    return np.sqrt((kernel * places**2).sum())


@pytest.mark.parametrize("sigma", [1.2, 2.5])
def test_the_width_of_a_blur_is_found(photo, sigma):
    kernel = estimate_kernel(cv2.GaussianBlur(photo, (0, 0), sigma))
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert [deviation(kernel, axis) for axis in (0, 1)] == [pytest.approx(sigma, rel=0.2)] * 2


def test_the_direction_of_a_blur_is_found(photo):
    kernel = estimate_kernel(cv2.GaussianBlur(photo, (0, 0), sigmaX=3.0, sigmaY=0.8))
    assert deviation(kernel, 1) > 1.8 * deviation(kernel, 0)


def test_a_picture_smaller_than_a_window_has_no_kernel(photo):
    assert estimate_kernel(photo[:40, :40]) is None


def test_noise_of_flat_regions_is_found_with_its_strength():
    flat = np.full((128, 128, 3), 120.0)
    flat[:, 96:] += np.linspace(0, 100, 32)[None, :, None]  # a slope, which is not flat
    noisy = np.clip(flat + np.random.default_rng(0).normal(0, 6, flat.shape), 0, 255)
    patches = noise_patches(noisy.astype(np.uint8))
    assert len(patches) == 12  # 4 rows of 3 flat regions
    assert np.mean([patch.std() for patch in patches]) == pytest.approx(6, rel=0.05)
    assert np.abs(np.mean(patches, axis=(1, 2))).max() < 1e-3
    assert noise_patches(np.full((64, 64, 3), 120, np.uint8)) == []


def test_pools_come_back_from_their_file(photo, tmp_path):
    pools = estimate_pools([cv2.GaussianBlur(photo, (0, 0), 2)])
    pools.save(tmp_path / "pools.safetensors")
    again = Pools.load(tmp_path / "pools.safetensors")
    np.testing.assert_array_equal(again.kernels, pools.kernels)
    np.testing.assert_array_equal(again.noise, pools.noise)
    assert again.provenance["photos"] == 1


def noisy_flat(seed, side=128):
    levels = np.random.default_rng(seed).normal(120, 6, (side, side, 3))
    return np.clip(levels, 0, 255).astype(np.uint8)


def test_more_patches_than_wanted_are_drawn_from_all_photos():
    one = noisy_flat(0)
    chosen = np.random.default_rng(3).choice(16, 5, replace=False)
    drawn = [noise_patches(one)[index] for index in sorted(chosen)]
    kept = estimate_pools(iter([one]), most_noise=5, seed=3).noise
    np.testing.assert_array_equal(kept, np.array(drawn, np.float16))

    photos = [noisy_flat(0), noisy_flat(1, side=256), noisy_flat(2)]  # 16, 64 and 16 patches
    patches = [patch.astype(np.float16) for photo in photos for patch in noise_patches(photo)]
    places = {patch.tobytes(): place for place, patch in enumerate(patches)}
    assert len(places) == 96
    counts = np.zeros(96)
    for seed in range(30):
        found = [
            places[p.tobytes()] for p in estimate_pools(photos, most_noise=24, seed=seed).noise
        ]
        assert len(set(found)) == 24
        counts[found] += 1
    shares = [counts[:16].mean(), counts[16:80].mean(), counts[80:].mean()]
    np.testing.assert_allclose(shares, 30 / 4, atol=1.5)


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="most_noise as a whole number"):
        estimate_pools([], most_noise="all")


def test_what_is_no_file_of_pools_is_refused(tmp_path):
    with pytest.raises(PoolsError, match=r"expected pools at .*, found none"):
        Pools.load(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"nothing")
    with pytest.raises(PoolsError, match="damaged"):
        Pools.load(tmp_path / "bad")


def test_the_command_names_broken_files_and_still_writes(photo, tmp_path, capsys):
    write_image(tmp_path / "photos" / "a.png", cv2.GaussianBlur(photo, (0, 0), 2))
    (tmp_path / "photos" / "b.png").write_bytes(b"no picture")
    out = tmp_path / "pools.safetensors"
    with pytest.raises(SystemExit) as end:
        main.task(compose("pools", [f"src={tmp_path}/photos", f"out={out}"]))
    assert end.value.code == 1
    assert "b.png" in capsys.readouterr().out
    assert len(Pools.load(out).kernels) == 1
    (tmp_path / "photos" / "b.png").rename(tmp_path / "photos" / "b.CR2")
    with pytest.raises(SystemExit) as end:
        main.task(compose("pools", [f"src={tmp_path}/photos", f"out={out}"]))
    assert end.value.code == 1
    assert "b.CR2: raw files of cameras" in capsys.readouterr().out
