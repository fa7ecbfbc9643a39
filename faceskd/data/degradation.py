"""From HR to LR faces.

Eq. 8 of Jo et al. 2021, I_LR = ((I_HR * k) down_r + n_sigma) JPEG_q, then 32x32. The paper prints
the ranges k {3.0:5.0}, r {0.8:0.4}, sigma {1.5:15.0}, q {0.4:0.8}; our reading: k the size in
pixels of a Gaussian or motion kernel at 256 px, r * 256 the intermediate size, sigma in 8-bit
levels, JPEG quality 100 q. With it bicubic scores near the paper's 25.7 to 26.1 dB.
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
    """HR face, uint8 RGB (256, 256, 3) -> LR face, uint8 RGB (32, 32, 3)."""

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray: ...


def gaussian_kernel(size: float) -> np.ndarray:
    """A Gaussian of `size` pixels, sigma by OpenCV's rule 0.3 ((size - 1) / 2 - 1) + 0.8; sum 1."""
    sigma = 0.3 * ((size - 1) / 2 - 1) + 0.8
    row = cv2.getGaussianKernel(_odd(size), sigma)
    return row @ row.T


def motion_kernel(size: float, angle: float) -> np.ndarray:
    """A line of `size` pixels at `angle` (radians) through the centre, antialiased; sum 1."""
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


def _is_range(came: Any, lowest: float, highest: float) -> bool:
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
    """Blur, shrink, noise, JPEG, then area resize to `lr_size`.

    Attributes:
        blur: range of the kernel's size, pixels at 256 px.
        motion: probability of a motion kernel instead of a Gaussian.
        resize: range of the intermediate size as a share of the HR size.
        noise: range of the Gaussian noise's sigma, 8-bit levels.
        jpeg: range of the JPEG quality, 1 to 100.
        lr_size: side of the LR face.

    Raises:
        ConfigError: a range is none, reversed, or outside what is possible.
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
            if not _is_range(came, lowest, highest):
                raise ConfigError(
                    f"expected {name} as [low, high] within [{lowest}, {highest}], got {came}"
                )
        if not 0 <= self.motion <= 1:
            raise ConfigError(f"expected motion as a probability, got {self.motion}")
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
        quality = round(rng.uniform(*self.jpeg))
        _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1]
        return cv2.resize(image, (self.lr_size, self.lr_size), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Clean:
    """Antialiased bicubic resize and nothing else: the setting of most papers on general SR."""

    lr_size: int = 32

    def __post_init__(self) -> None:
        _check_lr_size(self.lr_size)

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size = (self.lr_size, self.lr_size)
        return np.array(Image.fromarray(hr).resize(size, Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class RandomChoice:
    """One of two degradations, drawn for each face.

    Attributes:
        probability: of the first.
        first, second: what is drawn from; may be such choices themselves.

    Raises:
        ConfigError: the probability is none, or what is drawn from is no degradation.
    """

    probability: float
    first: Degradation
    second: Degradation

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"expected a probability, 0 to 1, got {self.probability}")
        for name in ("first", "second"):
            if not callable(getattr(self, name)):
                raise ConfigError(f"expected {name} as a degradation, got {getattr(self, name)!r}")

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        chosen = self.first if rng.random() < self.probability else self.second
        return chosen(hr, rng)
