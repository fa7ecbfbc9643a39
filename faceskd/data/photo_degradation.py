"""Degradation of sharp faces as in bad photos, for blind restoration at 512 px.

One or two rounds of blur, resize, noise and JPEG with random settings, after BSRGAN (Zhang et al.,
"Designing a Practical Degradation Model for Deep Blind Image Super-Resolution", ICCV 2021) and
GFPGAN (Wang et al., CVPR 2021). Blur kernels and noise can also come from pools, which are
estimated from real photos, as in RealSR (Ji et al., CVPRW 2020; `faceskd.data.pools`). The result
is enlarged to the size of the input by OpenCV's cubic interpolation. `faceskd restore` enlarges by
Pillow's Lanczos filter, which is slightly sharper; released models were trained with this one.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from faceskd.common.errors import ConfigError
from faceskd.data.degradation import Range, is_range, jpeg, motion_kernel
from faceskd.data.pools import Pools

FRAME = 512
"""Side of the frame that `side` refers to, in px; smaller images count as parts of a frame."""

LARGEST_SIGMA = 4.0
"""If a blur is wider than this, in px, the image is reduced first; no finer detail is lost."""

FILTERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@dataclass(frozen=True)
class PhotoDegradation:
    """Sharp faces, uint8 RGB (N, N, 3) -> degraded ones of the same size.

    Attributes:
        side: range of the side to which a frame of 512 px is reduced, in px; log-uniform.
        blur: range of the standard deviation of the blur, in px of the reduced image; log-uniform.
        noise: scale of the noise, 8-bit levels. The standard deviation of the noise is the absolute
            value of a normal variable with this standard deviation.
        jpeg: range of the JPEG quality, 1 to 100.
        twice: probability of a second round.
        untouched: probability that the face is not changed, so that networks keep sharp faces.
        halo: probability of sharpening with halos before the last JPEG compression.
        grain: probability of film grain.
        pooled: probability that a blur kernel comes from the pools; the same for noise.
        pools: file of `faceskd pools`; None: no pools.

    Raises:
        ConfigError: a range is reversed or outside its limits, or a probability is not in [0, 1].
    """

    side: Range = (30, 600)
    blur: Range = (0.25, 0.6)
    noise: float = 4.0
    jpeg: Range = (40, 95)
    twice: float = 0.2
    untouched: float = 0.07
    halo: float = 0.05
    grain: float = 0.05
    pooled: float = 0.1
    pools: Path | str | None = None

    def __post_init__(self) -> None:
        bounds = {"side": (2, 4 * FRAME), "blur": (0.01, 20), "jpeg": (1, 100)}
        for name, (lowest, highest) in bounds.items():
            if not is_range(getattr(self, name), lowest, highest):
                raise ConfigError(
                    f"expected {name} as [low, high] within [{lowest}, {highest}], got "
                    f"{getattr(self, name)}"
                )
        for name in ("twice", "untouched", "halo", "grain", "pooled"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"expected {name} as a probability, got {getattr(self, name)}")
        if self.noise < 0:
            raise ConfigError(f"expected noise of at least 0 levels, got {self.noise}")

    @cached_property
    def _pools(self) -> Pools:
        return Pools.empty() if self.pools is None else Pools.load(self.pools)

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < self.untouched:
            return hr.copy()
        size = hr.shape[0]
        side = log_uniform(self.side, rng) * size / FRAME
        image: np.ndarray = hr.astype(np.float32)
        rounds = 1 + int(rng.random() < self.twice)
        for number in range(rounds):
            last = number == rounds - 1
            image = self._round(image, side, rng, last=last)
            side *= rng.uniform(0.6, 1.5)  # for the next round
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)
        return to_levels(image)

    def _round(
        self, image: np.ndarray, side: float, rng: np.random.Generator, *, last: bool
    ) -> np.ndarray:
        side = max(round(side), 4)
        reduction = max(image.shape[0] / side, 1.0)
        image = self._blurred(image, reduction, rng)
        image = _resized(image, side, FILTERS[rng.integers(len(FILTERS))])
        if last and rng.random() < self.halo:
            soft = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.7, 1.5))
            image = image + rng.uniform(0.5, 1.5) * (image - soft)
        image = self._noisy(image, rng)
        return compressed(image, round(rng.uniform(*self.jpeg)))

    def _blurred(self, image: np.ndarray, reduction: float, rng: np.random.Generator) -> np.ndarray:
        """Blur the image. The width of the kernel is in px of the reduced image."""
        if len(self._pools.kernels) and rng.random() < self.pooled:
            kernel = self._pools.kernels[rng.integers(len(self._pools.kernels))]
            return _filtered(image, kernel, reduction)
        sigma = log_uniform(self.blur, rng) * reduction
        kind = rng.choice(4, p=(0.4, 0.3, 0.15, 0.15))
        factor = max(sigma / LARGEST_SIGMA, 1.0)
        if factor > 1:
            image, sigma = _reduced(image, factor), sigma / factor
        if kind == 0:
            return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        if kind == 1:
            kernel = anisotropic_kernel(sigma, sigma * rng.uniform(0.3, 1), rng.uniform(0, math.pi))
        elif kind == 2:
            kernel = motion_kernel(max(math.sqrt(12) * sigma, 1), rng.uniform(0, math.pi))
        else:
            kernel = disk_kernel(2 * sigma)
        return cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)

    def _noisy(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        sigma = abs(rng.normal(0, self.noise))
        shape = image.shape
        noise: np.ndarray
        if len(self._pools.noise) and rng.random() < self.pooled:
            patch = self._pools.noise[rng.integers(len(self._pools.noise))]
            noise = tiled_noise(patch.astype(np.float32), shape[0], rng)
        elif rng.random() < 0.25:  # Poisson noise: its variance is proportional to the brightness
            grey = rng.standard_normal(shape, np.float32)
            noise = sigma * grey * np.sqrt(np.clip(image, 0, 255) / 128)
        elif rng.random() < 0.4:
            noise = sigma * rng.standard_normal((*shape[:2], 1), np.float32)
        else:
            noise = sigma * rng.standard_normal(shape, np.float32)
        if rng.random() < self.grain:
            grain: np.ndarray = rng.standard_normal(shape[:2], np.float32)
            grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 1.2))
            noise = noise + (rng.uniform(2, 8) / max(grain.std(), 1e-6) * grain)[..., None]
        return image + noise


def anisotropic_kernel(wide: float, narrow: float, angle: float) -> np.ndarray:
    """Gaussian kernel with two standard deviations in px, the wide one at `angle` radians."""
    half = math.ceil(3 * max(wide, narrow))
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    along = x * math.cos(angle) + y * math.sin(angle)
    across = -x * math.sin(angle) + y * math.cos(angle)
    kernel = np.exp(-((along / wide) ** 2 + (across / max(narrow, 0.05)) ** 2) / 2)
    return kernel / kernel.sum()


def disk_kernel(radius: float) -> np.ndarray:
    """Kernel of a lens out of focus: a disk of `radius` px with an antialiased edge; sum 1."""
    half = math.ceil(radius)
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float64)
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return kernel / kernel.sum()


def log_uniform(limits: Range, rng: np.random.Generator) -> float:
    """A random number within limits above 0, whose logarithm is uniform."""
    low, high = limits
    return float(low * (high / low) ** rng.random())


def _reduced(image: np.ndarray, factor: float) -> np.ndarray:
    side = max(round(image.shape[0] / factor), 4)
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)


def _resized(image: np.ndarray, side: int, interpolation: int) -> np.ndarray:
    """Resize an image; a large reduction is first done by area averaging.

    OpenCV's other filters read a few pixels only, however large the reduction is. Alone, they would
    alias as no camera does, and nothing could be learned from the result.
    """
    if image.shape[0] > 2 * side:
        image = cv2.resize(image, (2 * side, 2 * side), interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (side, side), interpolation=interpolation)


def _filtered(image: np.ndarray, kernel: np.ndarray, reduction: float) -> np.ndarray:
    """Blur an image with a kernel for the reduced image; the result has the original size."""
    side = image.shape[0]
    if reduction > 1:
        image = _reduced(image, reduction)
    image = cv2.filter2D(image, -1, kernel.astype(np.float64), borderType=cv2.BORDER_REFLECT_101)
    return (
        cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) if reduction > 1 else image
    )


def tiled_noise(patch: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """Noise (side, side, C): a patch repeated with mirroring, starting at a random place."""
    pad = max(side + patch.shape[0], 0)
    tiled = np.pad(patch, ((0, pad), (0, pad), (0, 0)), mode="symmetric")
    top, left = rng.integers(patch.shape[0], size=2)
    return tiled[top : top + side, left : left + side]


def to_levels(image: np.ndarray) -> np.ndarray:
    """Levels of any type, clipped to 0 to 255 and rounded: uint8."""
    return np.clip(image, 0, 255).round().astype(np.uint8)


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """RGB levels (H, W, 3) after JPEG compression of a quality from 1 to 100; float32."""
    return jpeg(to_levels(image), quality).astype(np.float32)
