"""The colours of seasons and times of day: RGB in [0, 1]."""

from dataclasses import dataclass

import numpy as np

from faceskd.landscapes.scene import Season

SNOW = np.array([0.93, 0.95, 0.98], np.float32)
BARK = np.array([0.3, 0.22, 0.16], np.float32)
NEEDLES = np.array([0.1, 0.26, 0.17], np.float32)
ROCK = np.array([0.42, 0.43, 0.47], np.float32)
WALL = np.array([0.8, 0.72, 0.6], np.float32)
ROOF = np.array([0.52, 0.24, 0.18], np.float32)
GLASS = np.array([0.24, 0.28, 0.33], np.float32)
LAMP = np.array([1.0, 0.78, 0.36], np.float32)
MOONLIGHT = np.array([0.28, 0.33, 0.48], np.float32)
"""Factor of all colours at night."""


@dataclass(frozen=True)
class Palette:
    """The colours of one season.

    Attributes:
        grass: two colours of the meadow, (2, 3).
        leaves: colours of leaves, (N, 3); each tree has one. None: the trees are bare.
        flowers: colours of flowers, (N, 3); None for no flowers.
        snow: share of meadow and roofs under snow.
        snow_line: height above which mountains are white, as a share of the range's height.
        sky: colours at the top of the sky and at the horizon, by day, (2, 3).
    """

    grass: np.ndarray
    leaves: np.ndarray | None
    flowers: np.ndarray | None
    snow: float
    snow_line: float
    sky: np.ndarray


def _rgb(*colours: tuple[float, float, float]) -> np.ndarray:
    return np.array(colours, np.float32)


PALETTES: dict[Season, Palette] = {
    "spring": Palette(
        grass=_rgb((0.36, 0.62, 0.22), (0.55, 0.74, 0.34)),
        leaves=_rgb((0.55, 0.74, 0.3), (0.93, 0.72, 0.8), (0.95, 0.92, 0.9)),
        flowers=_rgb((0.98, 0.9, 0.3), (0.95, 0.95, 0.95), (0.9, 0.5, 0.75)),
        snow=0.0,
        snow_line=0.75,
        sky=_rgb((0.36, 0.6, 0.9), (0.8, 0.89, 0.96)),
    ),
    "summer": Palette(
        grass=_rgb((0.2, 0.45, 0.13), (0.36, 0.55, 0.2)),
        leaves=_rgb((0.13, 0.38, 0.1), (0.19, 0.44, 0.13), (0.25, 0.46, 0.14)),
        flowers=None,
        snow=0.0,
        snow_line=1.1,
        sky=_rgb((0.2, 0.48, 0.9), (0.68, 0.84, 0.97)),
    ),
    "autumn": Palette(
        grass=_rgb((0.5, 0.44, 0.18), (0.66, 0.56, 0.27)),
        leaves=_rgb((0.85, 0.43, 0.1), (0.75, 0.2, 0.1), (0.9, 0.68, 0.15)),
        flowers=None,
        snow=0.0,
        snow_line=0.85,
        sky=_rgb((0.47, 0.58, 0.72), (0.88, 0.84, 0.76)),
    ),
    "winter": Palette(
        grass=_rgb((0.55, 0.53, 0.44), (0.68, 0.66, 0.58)),
        leaves=None,
        flowers=None,
        snow=0.94,
        snow_line=0.2,
        sky=_rgb((0.58, 0.68, 0.8), (0.86, 0.89, 0.92)),
    ),
}
NIGHT_SKY = _rgb((0.02, 0.03, 0.09), (0.09, 0.12, 0.22))
CLOUD, NIGHT_CLOUD = _rgb((0.97, 0.97, 0.98), (0.13, 0.15, 0.22))
SUN = _rgb((1.0, 0.98, 0.9), (1.0, 0.96, 0.82))
"""Colours of the disc and of the glow around it."""
MOON = _rgb((0.95, 0.95, 0.88), (0.35, 0.38, 0.47))
