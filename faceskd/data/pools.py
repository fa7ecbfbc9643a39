"""Pools of blur kernels and noise, estimated from real low-quality photos.

After RealSR (Ji et al., "Real-World Super-Resolution via Kernel Estimation and Noise Injection",
CVPRW 2020). As there, noise is taken from flat regions, without their mean. RealSR estimates
kernels with KernelGAN, which trains a network for each photo. Here they are estimated from the
spectrum: the power spectra of sharp photos are similar, and the difference to them is the blur.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from faceskd.common.checks import check_whole
from faceskd.common.errors import FaceskdError
from faceskd.common.files import atomic_path

FORMAT = "faceskd-pools-1"
KERNEL_SIDE = 21
PATCH_SIDE = 32
FLAT_MEANS = 4.0
"""Largest standard deviation of the means of the 16 cells of a flat region, 8-bit levels."""

FLAT_SPREAD = 2.5
"""Largest ratio between the standard deviations of the 16 cells of a flat region."""

WINDOW = 64
"""Side of the windows whose spectra are averaged, in px."""


class PoolsError(FaceskdError):
    """A file of pools is missing, damaged, or not a file of pools."""


@dataclass(frozen=True, eq=False)
class Pools:
    """Blur kernels and noise of real photos.

    Attributes:
        kernels: (K, 21, 21) float32, each with sum 1, in pixels of the photo.
        noise: (N, 32, 32, 3) float16, in 8-bit levels, with mean 0.
        provenance: number of photos, kernels and noise patches.
    """

    kernels: np.ndarray
    noise: np.ndarray
    provenance: dict[str, Any]

    @staticmethod
    def empty() -> "Pools":
        """No kernels and no noise."""
        side = KERNEL_SIDE
        none = np.zeros((0, PATCH_SIDE, PATCH_SIDE, 3), np.float16)
        return Pools(np.zeros((0, side, side), np.float32), none, {})

    def save(self, path: Path | str) -> None:
        """Write one safetensors file, atomically."""
        metadata = {"format": FORMAT, "provenance": json.dumps(self.provenance)}
        with atomic_path(path) as temporary:
            save_file({"kernels": self.kernels, "noise": self.noise}, temporary, metadata)

    @staticmethod
    def load(path: Path | str) -> "Pools":
        """Read pools.

        Raises:
            PoolsError: the file is missing, damaged, or not a file of pools.
        """
        path = Path(path)
        if not path.is_file():
            raise PoolsError(
                f"expected pools at {str(path)!r}, found none: make them with `faceskd pools`"
            )
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                if metadata.get("format") != FORMAT:
                    raise PoolsError(
                        f"expected pools of the format {FORMAT} in {str(path)!r}, got "
                        f"{metadata.get('format', 'another safetensors file')!r}"
                    )
                tensors = {key: file.get_tensor(key) for key in ("kernels", "noise")}
        except (SafetensorError, OSError) as error:
            raise PoolsError(f"the pools {str(path)!r} are damaged: {error}") from error
        return Pools(**tensors, provenance=json.loads(metadata["provenance"]))


def estimate_pools(photos: Iterable[np.ndarray], *, most_noise: int = 512, seed: int = 0) -> Pools:
    """Estimate kernels and noise of real photos, each RGB uint8 (H, W, 3).

    Each photo gives one kernel, unless it is sharp, and a noise patch for each flat region.

    Args:
        photos: photos; only one at a time is kept in memory.
        most_noise: largest number of noise patches; more are drawn at random.
        seed: seed for drawing them.

    Raises:
        ConfigError: `most_noise` or `seed` is not a whole number of at least 0.
    """
    check_whole(0, most_noise=most_noise, seed=seed)
    rng = np.random.default_rng(seed)
    kernels: list[np.ndarray] = []
    noise: list[np.ndarray] = []
    count = patches = 0
    for photo in photos:
        count += 1
        if (kernel := estimate_kernel(photo)) is not None:
            kernels.append(kernel)
        found = noise_patches(photo)
        noise = _joined_samples(noise, patches, found, most_noise, rng)
        patches += len(found)
    side = KERNEL_SIDE
    provenance = {"photos": count, "kernels": len(kernels), "noise": len(noise)}
    return Pools(
        np.array(kernels, np.float32).reshape(-1, side, side),
        np.array(noise, np.float16).reshape(-1, PATCH_SIDE, PATCH_SIDE, 3),
        provenance,
    )


def _joined_samples(
    kept: list[np.ndarray],
    seen: int,
    found: list[np.ndarray],
    most: int,
    rng: np.random.Generator,
) -> list[np.ndarray]:
    """At most `most` patches, of all with the same probability.

    `kept` is such a sample of the `seen` patches before; `found` are the others.
    """
    if seen + len(found) <= most:
        return kept + found
    of_found = int(rng.hypergeometric(len(found), seen, most)) if seen else most
    return _drawn(kept, most - of_found, rng) + _drawn(found, of_found, rng)


def _drawn(items: list[np.ndarray], count: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [items[index] for index in sorted(rng.choice(len(items), count, replace=False))]


def noise_patches(photo: np.ndarray) -> list[np.ndarray]:
    """The noise in the flat regions of a photo: float32 (32, 32, 3) each, 8-bit levels, mean 0.

    A region is flat if mean and variance are about the same everywhere in it (RealSR, eq. 5 and 6).
    Regions without noise, or with values close to black or white, are left out.
    """
    patches = []
    for window in _windows(photo, PATCH_SIDE):
        levels = window.astype(np.float32)
        if levels.min() < 4 or levels.max() > 251:
            continue
        cells = levels.mean(2).reshape(4, PATCH_SIDE // 4, 4, PATCH_SIDE // 4)
        means, spreads = cells.mean((1, 3)), cells.std((1, 3))
        even = spreads.max() < FLAT_SPREAD * spreads.min()
        if means.std() < FLAT_MEANS and even and spreads.mean() > 0.5:
            patches.append(levels - levels.mean((0, 1)))
    return patches


def estimate_kernel(photo: np.ndarray) -> np.ndarray | None:
    """The Gaussian kernel (21, 21) that blurred a photo, with sum 1; None if it is sharp or tiny.

    The mean power spectrum P of the photo's windows, with f in cycles per pixel, is modelled as

        log P(f) = a - 2 log |f| - (2 pi)^2 f^T C f.

    This is the spectrum of a sharp photo (Field, "Relations between the statistics of natural
    images and the response properties of cortical cells", JOSA A 1987) times that of a Gaussian
    with covariance C. a and C are fitted by least squares where P is above four times the noise
    floor.
    """
    power = _spectrum(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY))
    if power is None:
        return None
    frequency = np.fft.fftfreq(WINDOW)
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    radius = np.hypot(fx, fy)
    floor = np.median(power[radius > 0.45])
    used = (radius > 1.5 / WINDOW) & (power > 4 * floor)
    if used.sum() < 24:
        return None
    turn = -((2 * np.pi) ** 2)
    columns = [np.ones(used.sum()), turn * fx[used] ** 2, turn * fy[used] ** 2]
    columns.append(turn * 2 * fx[used] * fy[used])
    wanted = np.log(power[used]) + 2 * np.log(radius[used])
    (_, xx, yy, xy), *_ = np.linalg.lstsq(np.stack(columns, 1), wanted, rcond=None)
    return _gaussian(np.array([[xx, xy], [xy, yy]]))


def _gaussian(covariance: np.ndarray) -> np.ndarray | None:
    values, vectors = np.linalg.eigh(covariance)
    if values.max() < 0.3**2:
        return None
    inverse = vectors @ np.diag(1 / np.clip(values, 0.1**2, (KERNEL_SIDE / 5) ** 2)) @ vectors.T
    half = KERNEL_SIDE // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    places = np.stack([x, y], -1)
    kernel = np.exp(-np.einsum("...i,ij,...j->...", places, inverse, places) / 2)
    return (kernel / kernel.sum()).astype(np.float32)


def _windows(image: np.ndarray, side: int) -> list[np.ndarray]:
    height, width = image.shape[:2]
    return [
        image[top : top + side, left : left + side]
        for top in range(0, height - side + 1, side)
        for left in range(0, width - side + 1, side)
    ]


def _spectrum(grey: np.ndarray) -> np.ndarray | None:
    """Mean power spectrum (64, 64) of the quarter of windows with most contrast; None if none."""
    window = np.hanning(WINDOW)[:, None] * np.hanning(WINDOW)
    found = [part.astype(np.float64) for part in _windows(grey, WINDOW)]
    if not found:
        return None
    found.sort(key=lambda part: -float(part.std()))
    shown = found[: max(len(found) // 4, 1)]
    return (
        np.mean([np.abs(np.fft.fft2((p - p.mean()) * window)) ** 2 for p in shown], axis=0) + 1e-9
    )
