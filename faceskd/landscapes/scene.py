"""What stands where in a landscape. None of it depends on season or time of day.

Positions are shares of the side of the picture, x to the right and y down.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Season = Literal["spring", "summer", "autumn", "winter"]
SEASONS: tuple[Season, ...] = ("spring", "summer", "autumn", "winter")


@dataclass(frozen=True)
class Tree:
    """A tree.

    Attributes:
        x, y: foot of the trunk.
        height: height of the tree, as a share of the side.
        conifer: whether it keeps its needles; other trees change with the season.
        seed: seed of its shape.
    """

    x: float
    y: float
    height: float
    conifer: bool
    seed: int


@dataclass(frozen=True)
class Scene:
    """A landscape.

    Attributes:
        season: season of the pictures in the domains "day" and "night".
        horizon: y of the far end of the meadow.
        sun: x and y of the sun; at night the moon is there.
        clouds: share of the sky that clouds cover.
        ridges: for each mountain range, far to near: height, and frequencies and phases (2, 6).
        trees: trees, far to near.
        house: x and y of a house's foot, and its width; None for no house.
        lake: centre, half width and half height of a lake; None for no lake.
        tint: factor of all colours by day (3,).
        seed: seed of textures.
    """

    season: Season
    horizon: float
    sun: tuple[float, float]
    clouds: float
    ridges: tuple[tuple[float, np.ndarray], ...]
    trees: tuple[Tree, ...]
    house: tuple[float, float, float] | None
    lake: tuple[float, float, float, float] | None
    tint: np.ndarray
    seed: int


def sample_scene(number: int) -> Scene:
    """The landscape with this number, 0 or more."""
    rng = np.random.default_rng((number, 25))
    horizon = float(rng.uniform(0.45, 0.62))
    ridges = tuple(
        (float(rng.uniform(0.1, 0.32) / (1 + index)), _waves(rng))
        for index in range(int(rng.integers(1, 4)))
    )
    house = lake = None
    if rng.uniform() < 0.6:
        y = rng.uniform(horizon + 0.05, horizon + 0.18)
        house = (float(rng.uniform(0.15, 0.85)), float(y), float(0.5 * (y - horizon) + 0.07))
    if rng.uniform() < 0.5:
        half = rng.uniform(0.12, 0.3)
        y = rng.uniform(horizon + 0.15, 0.92)
        lake = (float(rng.uniform(0.1, 0.9)), float(y), float(half), float(half * 0.22))
    return Scene(
        season=SEASONS[int(rng.integers(4))],
        horizon=horizon,
        sun=(float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.08, 0.25))),
        clouds=float(rng.uniform(0.1, 0.6)),
        ridges=ridges,
        trees=_trees(rng, horizon),
        house=house,
        lake=lake,
        tint=(rng.uniform(0.92, 1.05) * rng.uniform(0.97, 1.03, 3)).astype(np.float32),
        seed=int(rng.integers(2**31)),
    )


def _waves(rng: np.random.Generator) -> np.ndarray:
    return np.stack([rng.uniform(1, 3) * 1.7 ** np.arange(6), rng.uniform(0, 2 * np.pi, 6)])


def _trees(rng: np.random.Generator, horizon: float) -> tuple[Tree, ...]:
    count = int(rng.integers(6, 22))
    conifers = rng.uniform(0.1, 0.5)
    trees = [
        Tree(
            x=float(rng.uniform(-0.02, 1.02)),
            y=float(horizon + (0.98 - horizon) * depth),
            height=float((0.07 + 0.5 * depth) * rng.uniform(0.7, 1.2)),
            conifer=bool(rng.uniform() < conifers),
            seed=int(rng.integers(2**31)),
        )
        for depth in rng.uniform(0, 1, count) ** 2
    ]
    return tuple(sorted(trees, key=lambda tree: tree.y))
