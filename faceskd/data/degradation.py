"""Degradation of HR faces to LR faces.

Eq. 8 of Jo et al. 2021: I_LR = ((I_HR * k) down_r + n_sigma) JPEG_q, then a resize to 32x32. The
paper prints the ranges k {3.0:5.0}, r {0.8:0.4}, sigma {1.5:15.0}, q {0.4:0.8}. We read them as
follows: k is the size in px of a Gaussian or motion blur kernel at 256 px; r * 256 is the
intermediate size; sigma is in 8-bit levels; the JPEG quality is 100 q. With this reading, bicubic
enlargement has a PSNR close to the paper's 25.7 to 26.1 dB.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from PIL import Image

from faceskd.common.errors import ConfigError

Range = tuple[float, float]


class Degradation(Protocol):
    """A function from an HR face, uint8 RGB (256, 256, 3), to an LR face, uint8 RGB (32, 32, 3)."""

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray: ...


def gaussian_kernel(size: float) -> np.ndarray:
    """Gaussian kernel of `size` px, sigma = 0.3 ((size - 1) / 2 - 1) + 0.8 (OpenCV); sum 1."""
    sigma = 0.3 * ((size - 1) / 2 - 1) + 0.8
    row = cv2.getGaussianKernel(_odd(size), sigma)
    return row @ row.T


def motion_kernel(size: float, angle: float) -> np.ndarray:
    """Motion blur kernel: an antialiased line of `size` px at `angle` (radians); sum 1."""
    side = _odd(size)
    steps = np.linspace(-(size - 1) / 2, (size - 1) / 2, 8 * side)
    x = steps * math.cos(angle) + side // 2
    y = steps * math.sin(angle) + side // 2
    kernel = np.zeros((side + 1, side + 1))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (1 - np.abs(x - left - dx)) * (1 - np.abs(y - top - dy))
            np.add.at(kernel, (top + dy, left + dx), weight)
    return kernel[:side, :side] / kernel[:side, :side].sum()


def _odd(size: float) -> int:
    return 2 * math.ceil((size - 1) / 2) + 1


def jpeg(image: np.ndarray, quality: int, *options: int) -> np.ndarray:
    """RGB uint8 (H, W, 3) after JPEG compression of a quality from 1 to 100.

    Args:
        image: the image.
        quality: quality of the compression.
        options: further flags of `cv2.imencode`, each followed by its value.
    """
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, *options]
    _, encoded = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), flags)
    return np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1])


def is_range(came: Any, lowest: float, highest: float) -> bool:
    try:
        low, high = came
        return bool(lowest <= low <= high <= highest)
    except (TypeError, ValueError):
        return False


def _check_lr_size(lr_size: int) -> None:
    if lr_size < 1:
        raise ConfigError(f"expected lr_size of at least 1 pixel, got {lr_size}")


@dataclass(frozen=True)
class Eq8:
    """Eq. 8: blur, reduction, Gaussian noise, JPEG, then area resize to `lr_size`.

    Attributes:
        blur: range of the kernel size, px at 256 px.
        motion: probability of a motion blur kernel instead of a Gaussian.
        resize: range of the intermediate size as a share of the HR size.
        noise: range of the standard deviation of the noise, 8-bit levels.
        jpeg: range of the JPEG quality, 1 to 100.
        lr_size: side of the LR face, px.

    Raises:
        ConfigError: a range is not [low, high], or lies outside the possible values.
    """

    blur: Range = (3.0, 5.0)
    motion: float = 0.5
    resize: Range = (0.4, 0.8)
    noise: Range = (1.5, 15.0)
    jpeg: Range = (40, 80)
    lr_size: int = 32

    def __post_init__(self) -> None:
        bounds = {"blur": (1, 64), "resize": (0.05, 1), "noise": (0, 255), "jpeg": (1, 100)}
        for name, (lowest, highest) in bounds.items():
            came = getattr(self, name)
            if not is_range(came, lowest, highest):
                raise ConfigError(
                    f"expected {name} as [low, high] within [{lowest}, {highest}], got {came}"
                )
        if not 0 <= self.motion <= 1:
            raise ConfigError(f"expected motion as a probability in [0, 1], got {self.motion}")
        _check_lr_size(self.lr_size)

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size = rng.uniform(*self.blur)
        angle = rng.uniform(0, math.pi)
        motion = rng.random() < self.motion
        kernel = motion_kernel(size, angle) if motion else gaussian_kernel(size)
        image = cv2.filter2D(hr, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        side = max(self.lr_size, round(rng.uniform(*self.resize) * hr.shape[0]))
        image = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(*self.noise))
        image = np.clip(image + noise, 0, 255).round().astype(np.uint8)
        image = jpeg(image, round(rng.uniform(*self.jpeg)))
        return cv2.resize(image, (self.lr_size, self.lr_size), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Clean:
    """Antialiased bicubic resize only: the setting of most papers on general super-resolution."""

    lr_size: int = 32

    def __post_init__(self) -> None:
        _check_lr_size(self.lr_size)

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size = (self.lr_size, self.lr_size)
        return np.array(Image.fromarray(hr).resize(size, Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class RandomChoice:
    """Applies one of two degradations, chosen at random for each face.

    Attributes:
        probability: probability of the first.
        first, second: degradations; each may be a `RandomChoice`, too.

    Raises:
        ConfigError: the probability is outside [0, 1], or one of the two is not a degradation.
    """

    probability: float
    first: Degradation
    second: Degradation

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"expected a probability in [0, 1], got {self.probability}")
        for name in ("first", "second"):
            if not callable(getattr(self, name)):
                raise ConfigError(
                    f"expected {name} to be a degradation, got {getattr(self, name)!r}"
                )

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        chosen = self.first if rng.random() < self.probability else self.second
        return chosen(hr, rng)
