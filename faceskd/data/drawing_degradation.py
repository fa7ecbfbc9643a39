"""Degradation of drawings: JPEG compression, and enlargement by two.

For line art and flat colours, as waifu2x is made for. JPEG leaves ringing around lines and blocks
in flat areas; enlarging makes lines soft.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image
from PIL.Image import Resampling

from faceskd.common.errors import ConfigError
from faceskd.data.degradation import Range, jpeg

LEVELS: tuple[tuple[Range, float] | None, ...] = (
    None,
    ((75, 95), 0.0),
    ((45, 80), 0.2),
    ((15, 50), 0.4),
)
"""For each level of noise the range of the JPEG quality, and the probability of a second round."""

REDUCTIONS = (cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@dataclass(frozen=True)
class DrawingDegradation:
    """Drawings, uint8 RGB (N, N, 3) -> degraded ones of the same size. N is even.

    Attributes:
        level: 0 for no noise, 1 to 3 for light to strong JPEG compression (`LEVELS`).
        reduced: probability that the drawing is reduced to half its size first, and enlarged again
            by Pillow's Lanczos filter at the end, as `faceskd restore --kind drawing` does at
            scale 2.

    Raises:
        ConfigError: there is no such level, `reduced` is not in [0, 1], or nothing would be done.
    """

    level: int = 1
    reduced: float = 0.5

    def __post_init__(self) -> None:
        if self.level not in range(len(LEVELS)):
            raise ConfigError(f"expected a level from 0 to {len(LEVELS) - 1}, got {self.level!r}")
        if not 0 <= self.reduced <= 1:
            raise ConfigError(f"expected reduced as a probability, got {self.reduced}")
        if self.level == 0 and self.reduced == 0:
            raise ConfigError("expected a level from 1 to 3 for reduced=0, got level=0")

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        size = hr.shape[0]
        image = hr
        # Without noise there is nothing else to learn, so that every drawing is reduced.
        if rng.random() < (self.reduced if self.level else 1):
            method = REDUCTIONS[rng.integers(len(REDUCTIONS))]
            image = cv2.resize(image, (size // 2, size // 2), interpolation=method)
        settings = LEVELS[self.level]
        if settings is not None:
            (low, high), twice = settings
            for _ in range(1 + int(rng.random() < twice)):
                image = compressed(image, round(rng.uniform(low, high)), rng)
        if image.shape[0] != size:
            image = np.array(Image.fromarray(image).resize((size, size), Resampling.LANCZOS))
        return image


def compressed(image: np.ndarray, quality: int, rng: np.random.Generator) -> np.ndarray:
    """RGB uint8 after JPEG compression, with full or halved colour resolution at random."""
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    factor = int(sampling[rng.integers(2)])
    return jpeg(image, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
