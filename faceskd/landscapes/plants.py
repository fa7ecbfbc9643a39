"""Draw trees: conifers, and trees that flower, turn green, turn red and stand bare."""

import cv2
import numpy as np

from faceskd.landscapes.colours import BARK, NEEDLES, SNOW, Palette
from faceskd.landscapes.scene import Tree


def draw_tree(image: np.ndarray, tree: Tree, palette: Palette, light: np.ndarray) -> None:
    """Draw a tree into a picture, float32 (H, H, 3); `light` is the factor of its colours (3,)."""
    (_conifer if tree.conifer else _leafy)(image, tree, palette, light)


def _conifer(image: np.ndarray, tree: Tree, palette: Palette, light: np.ndarray) -> None:
    size, rng = len(image), np.random.default_rng(tree.seed)
    x, y, height = tree.x * size, tree.y * size, tree.height * size
    _line(image, (x, y), (x, y - 0.3 * height), 0.06 * height, BARK * light)
    tiers = int(rng.integers(4, 7))
    shade = rng.uniform(0.85, 1.2)
    for tier in range(tiers):
        foot = y - height * (0.12 + 0.7 * tier / tiers)
        top = max(foot - 0.36 * height, y - height)
        half = 0.24 * height * (1 - 0.8 * tier / tiers)
        bright = shade * (0.8 + 0.4 * tier / tiers)
        _fill(image, [(x - half, foot), (x + half, foot), (x, top)], NEEDLES * bright * light)
        if palette.snow > 0:  # along the left edge of each tier
            _fill(image, [(x - half, foot), (x - 0.4 * half, foot), (x, top)], SNOW * light)


def _leafy(image: np.ndarray, tree: Tree, palette: Palette, light: np.ndarray) -> None:
    size, rng = len(image), np.random.default_rng(tree.seed)
    foot = np.array([tree.x, tree.y]) * size
    height = tree.height * size
    kind, shade = rng.uniform(), rng.uniform(0.85, 1.15)
    _branches(image, foot, height, palette, light, rng)
    if palette.leaves is None:
        return
    colour = palette.leaves[int(kind * len(palette.leaves))] * shade
    crown = foot - (0, 0.68 * height)
    turns, reach = rng.uniform(0, 2 * np.pi, 60), np.sqrt(rng.uniform(0, 1, 60))
    away = np.stack([np.cos(turns), 0.95 * np.sin(turns)], axis=1) * reach[:, None]
    radii = rng.uniform(0.05, 0.1, 60) * height
    order = np.argsort(away[:, 0] - away[:, 1])  # the lit ones, at the top left, come last
    for index in order[::-1]:
        bright = 1 - 0.3 * (away[index, 0] + away[index, 1]) / 2 - 0.12 * reach[index]
        centre = crown + away[index] * 0.3 * height
        spot = (round(centre[0]), round(centre[1]))
        painted = np.clip(colour * bright, 0, 1) * light
        cv2.circle(image, spot, max(round(radii[index]), 1), painted.tolist(), -1)


def _branches(
    image: np.ndarray, foot: np.ndarray, height: float, palette: Palette, light: np.ndarray,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """The trunk and three generations of branches, with snow on them in winter."""
    ends = [(foot, np.array([0.0, -0.4 * height]))]
    for generation in range(4):
        width = 0.07 * height * 0.55**generation
        following = []
        for start, way in ends:
            end = start + way
            _line(image, start, end, width, BARK * light)
            if palette.snow > 0 and generation:
                above = np.array([0, -0.5 * width])
                _line(image, start + above, end + above, 0.35 * width, SNOW * light)
            for turn in (-0.5, 0.45):
                angle = turn + rng.normal(0, 0.15)
                cos, sin = np.cos(angle), np.sin(angle)
                turned = np.array([cos * way[0] - sin * way[1], sin * way[0] + cos * way[1]])
                following.append((end, 0.6 * turned))
        ends = following


def _line(
    image: np.ndarray, start: np.ndarray | tuple, end: np.ndarray | tuple, width: float,
    colour: np.ndarray,
) -> None:  # fmt: skip
    ends = [(round(float(x)), round(float(y))) for x, y in (start, end)]
    cv2.line(image, ends[0], ends[1], colour.tolist(), max(round(width), 1))


def _fill(image: np.ndarray, points: list[tuple[float, float]], colour: np.ndarray) -> None:
    cv2.fillPoly(image, [np.round(np.array(points)).astype(np.int32)], colour.tolist())
