"""Generated damage of old photographs, for networks that repair it and for the scratch detector.

Wan et al., "Bringing Old Photos Back to Life" (CVPR 2020, arXiv 2004.09484), section 3.3, split the
damage of old photos in two. *Unstructured* damage is everywhere: blur, noise, film grain, fading,
sepia, stains. *Structural* damage hides parts of the photo: scratches, cracks, folds, dust, torn
edges. A mask marks the structural damage. The shapes are our own (`faceskd.data.damage_shapes`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np

from faceskd.common.checks import check_choices
from faceskd.common.errors import ConfigError
from faceskd.common.images import LUMA
from faceskd.data.damage_shapes import SHAPES, noise, usual_unit
from faceskd.data.degradation import Degradation, Range, is_range
from faceskd.data.photo_degradation import (
    PhotoDegradation,
    compressed,
    log_uniform,
    to_levels,
)

VISIBLE = 0.15
"""Structural damage of a lower opacity is not drawn and not marked."""

SEPIA = ((0.393, 0.769, 0.189), (0.349, 0.686, 0.168), (0.272, 0.534, 0.131))
"""Red, green and blue of a sepia tone, each from red, green and blue; the usual matrix."""

COUNTS: dict[str, tuple[int, int]] = {
    "scratches": (1, 8),
    "cracks": (1, 4),
    "folds": (1, 2),
    "dust": (1, 3),
    "torn": (1, 2),
}
"""Fewest and most pieces of each kind of structural damage in a photo that has it."""


class Damaged(NamedTuple):
    """A damaged photo and what belongs to it.

    Attributes:
        photo: RGB uint8 (N, N, 3).
        mask: its structural damage, uint8 (N, N): 255 where it is, else 0.
        clean: what a restoration should make of it, RGB uint8 (N, N, 3): the clean photo, in grey
            if the damaged one has lost its colours, because colours must not be guessed.
    """

    photo: np.ndarray
    mask: np.ndarray
    clean: np.ndarray


@dataclass(frozen=True)
class PhotoDamage:
    """Clean squares, uint8 RGB (N, N, 3) -> damaged ones of the same size.

    Attributes:
        photo: degradation that comes first: blur, noise, JPEG; None: none.
        monochrome: probability that colours are lost; half of these photos become sepia.
        fading: probability of fading: blacks become grey, and the paper turns yellow.
        stains: probability of stains.
        grain: probability of film grain.
        structural: probability of each kind of structural damage, by its name in `SHAPES`.
        thickness: range of the factor of the widths of structural damage; log-uniform. Networks
            are used on larger photos than they learn from, where damage is thicker.
        jpeg: range of the JPEG quality of the scan, 1 to 100; null: no compression.

    Raises:
        ConfigError: a probability is outside [0, 1], a kind of damage is unknown, or a range is
            reversed or outside its limits.
    """

    photo: Degradation | None = field(default_factory=lambda: PhotoDegradation(side=(128, 600)))
    monochrome: float = 0.5
    fading: float = 0.6
    stains: float = 0.3
    grain: float = 0.5
    structural: Mapping[str, float] = field(
        default_factory=lambda: {
            "scratches": 0.5, "cracks": 0.3, "folds": 0.25, "dust": 0.5, "torn": 0.15
        }
    )  # fmt: skip
    thickness: Range = (0.5, 4)
    jpeg: Range | None = (60, 98)

    def __post_init__(self) -> None:
        check_choices(SHAPES, **{"structural damage": self.structural})
        names = ("monochrome", "fading", "stains", "grain")
        values = {name: getattr(self, name) for name in names} | dict(self.structural)
        for name, value in values.items():
            if not 0 <= value <= 1:
                raise ConfigError(f"expected {name} as a probability, got {value}")
        if self.jpeg is not None and not is_range(self.jpeg, 1, 100):
            raise ConfigError(f"expected jpeg as [low, high] within [1, 100], got {self.jpeg}")
        if not is_range(self.thickness, 0.1, 16):
            raise ConfigError(
                f"expected thickness as [low, high] within [0.1, 16], got {self.thickness}"
            )

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.damaged(hr, rng).photo

    def damaged(self, hr: np.ndarray, rng: np.random.Generator) -> Damaged:
        """The same photo as a call, with the mask of its damage and its clean form."""
        image = (hr if self.photo is None else self.photo(hr, rng)).astype(np.float32)
        clean = hr
        if rng.random() < self.monochrome:
            clean = to_levels(toned(hr, 0.0))
            image = toned(image, rng.uniform(0.3, 1.0) if rng.random() < 0.5 else 0.0)
        image = self._aged(image, rng)
        thickness = log_uniform(self.thickness, rng)
        opacity = draw_structural(image.shape[:2], self.structural, rng, thickness)
        image = covered(image, opacity, rng)
        if rng.random() < self.grain:
            image = image + _grain(image.shape, rng)
        if self.jpeg is not None:
            image = compressed(image, round(rng.uniform(*self.jpeg)))
        return Damaged(to_levels(image), np.where(opacity > 0, 255, 0).astype(np.uint8), clean)

    def _aged(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Fading and stains: levels 0 to 255, float32, in and out."""
        if rng.random() < self.fading:
            black, white = rng.uniform(0, 70), rng.uniform(190, 255)
            image = black + image * np.float32((white - black) / 255)
            image = image * (1 - rng.uniform(0, 0.2) * np.array((0, 0.25, 1), np.float32))
        if rng.random() < self.stains:
            image = image * (1 - _stains(image.shape, rng))
        return image.astype(np.float32)


def draw_structural(
    shape: tuple[int, int],
    probabilities: Mapping[str, float],
    rng: np.random.Generator,
    thickness: float = 1.0,
) -> np.ndarray:
    """Structural damage of random kinds, counts and places.

    Args:
        shape: height and width in px.
        probabilities: probability of each kind, by its name in `SHAPES`.
        rng: generator of everything that is drawn.
        thickness: factor of the widths that are usual in a photo of this size.

    Returns:
        Opacity, float32 (H, W): 0 where the photo is intact, else from `VISIBLE` to 1.
    """
    opacity = np.zeros(shape, np.float32)
    for name, draw in SHAPES.items():
        if rng.random() < probabilities.get(name, 0.0):
            fewest, most = COUNTS[name]
            for _ in range(rng.integers(fewest, most + 1)):
                draw(opacity, rng, thickness * usual_unit(shape))
    opacity[opacity < VISIBLE] = 0
    return opacity


def covered(image: np.ndarray, opacity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cover an image (H, W, 3), levels 0 to 255, with light or dark paper; float32.

    Pixels of opacity 0 keep their values.
    """
    light = rng.random() < 0.8
    level = rng.uniform(200, 255) if light else rng.uniform(0, 50)
    tint = np.array((0, 1, 2.5), np.float32) * np.float32(rng.uniform(0, 10) if light else 0)
    texture = 6 * noise(opacity.shape, 0.01, rng)[..., None]
    paper = np.clip(level - tint + texture, 0, 255)
    share = opacity[..., None]
    return np.where(share > 0, image * (1 - share) + paper * share, image).astype(np.float32)


def toned(image: np.ndarray, sepia: float) -> np.ndarray:
    """An image (H, W, 3) without its colours, and with a sepia tone of a strength from 0 to 1."""
    grey = (image.astype(np.float32) @ np.array(LUMA, np.float32))[..., None].repeat(3, axis=2)
    brown = np.clip(grey @ np.array(SEPIA, np.float32).T, 0, 255)
    return ((1 - sepia) * grey + sepia * brown).astype(np.float32)


def _stains(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """What stains take away, (H, W, 3): brown spots with a darker rim, as of a dried liquid."""
    spots = noise(shape, rng.uniform(0.2, 0.6), rng) + 0.15 * noise(shape, 0.03, rng)
    depth = spots - rng.uniform(0.5, 1.5)
    rim = np.exp(-((depth / 0.12) ** 2))
    inside = 1 / (1 + np.exp(-np.clip(depth / 0.06, -30, 30)))
    strength = rng.uniform(0.05, 0.35) * (0.6 * inside + 0.6 * rim)
    return strength[..., None].astype(np.float32) * np.array((0.5, 0.8, 1.0), np.float32)


def _grain(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Film grain, the same in all channels: (H, W, 1), deviation 2 to 12 levels."""
    grain = rng.standard_normal(shape[:2], np.float32)
    soft = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.4, 1.2) * max(usual_unit(shape), 1))
    result: np.ndarray = rng.uniform(2, 12) * soft[..., None] / max(float(soft.std()), 1e-6)
    return result
