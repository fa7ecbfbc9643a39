"""Shapes of structural damage: how opaque it is at each pixel of a photo.

Every function draws on an opacity map, float32 (H, W) in [0, 1], 1 where nothing is left of the
photo. Widths are multiples of a unit in px; `usual_unit` fits the size of the photo.
"""

import math
from collections.abc import Callable

import cv2
import numpy as np

SHIFT = 4
"""Fractional bits of coordinates that OpenCV draws, so that lines lie between pixels, too."""

Shape = Callable[[np.ndarray, np.random.Generator, float], None]
"""Draws on an opacity map, with a generator and the unit of widths in px."""


def usual_unit(shape: tuple[int, ...]) -> float:
    """The unit for a photo of this height and width: 1 px for a shorter side of 256 px."""
    return max(min(shape[:2]) / 256, 0.25)


def scratch(opacity: np.ndarray, rng: np.random.Generator, unit: float) -> None:
    """A thin, slightly bent line of any direction, of 10 to 100 % of the shorter side."""
    height, width = opacity.shape
    length = rng.uniform(0.1, 1.0) * min(height, width)
    start = rng.uniform((0, 0), (width, height))
    angles = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.04, 12))
    points = _walk(start, angles, length / len(angles))
    _line(opacity, points, rng.uniform(0.6, 2.0) * unit, rng.uniform(0.5, 1.0), rng)


def crack(opacity: np.ndarray, rng: np.random.Generator, unit: float) -> None:
    """A jagged line with branches, as in a dry emulsion."""
    height, width = opacity.shape
    step = rng.uniform(4, 9) * unit
    start, angle = rng.uniform((0, 0), (width, height)), rng.uniform(0, 2 * math.pi)
    thickness, strength = rng.uniform(0.8, 2.5) * unit, rng.uniform(0.6, 1.0)
    trunk = _walk(start, angle + np.cumsum(rng.normal(0, 0.4, rng.integers(8, 40))), step)
    _line(opacity, trunk, thickness, strength, rng)
    for _ in range(rng.integers(0, 5)):
        turned = rng.choice((-1, 1)) * rng.uniform(0.5, 1.4)
        angles = angle + turned + np.cumsum(rng.normal(0, 0.4, rng.integers(3, 14)))
        branch = _walk(trunk[rng.integers(len(trunk))], angles, step)
        _line(opacity, branch, thickness * rng.uniform(0.4, 0.9), strength, rng)


def fold(opacity: np.ndarray, rng: np.random.Generator, unit: float) -> None:
    """A nearly straight line across the whole photo, worn off in places."""
    height, width = opacity.shape
    reach = math.hypot(height, width)
    angle = rng.choice((0, math.pi / 2)) + rng.normal(0, 0.15)
    middle = rng.uniform((0.1 * width, 0.1 * height), (0.9 * width, 0.9 * height))
    start = middle - reach * np.array((math.cos(angle), math.sin(angle)))
    points = _walk(start, angle + rng.normal(0, 0.05, 40), 2 * reach / 40)
    _line(opacity, points, rng.uniform(1.5, 5.0) * unit, rng.uniform(0.6, 1.0), rng)


def dust(opacity: np.ndarray, rng: np.random.Generator, unit: float) -> None:
    """Specks, and a few bent hairs."""
    height, width = opacity.shape
    drawn = np.zeros_like(opacity)
    for _ in range(rng.integers(5, 40)):
        centre = _fixed(rng.uniform((0, 0), (width, height)))
        axes = _fixed(unit * rng.uniform(0.5, 2.5) * rng.uniform((0.4, 0.4), (1, 1)))
        turn, strength = rng.uniform(0, 180), rng.uniform(0.5, 1.0)
        cv2.ellipse(drawn, centre, axes, turn, 0, 360, strength, -1, cv2.LINE_8, SHIFT)
    soft = cv2.GaussianBlur(drawn, (0, 0), 0.4)
    np.maximum(opacity, soft, out=opacity)
    for _ in range(rng.integers(0, 4)):
        start = rng.uniform((0, 0), (width, height))
        bends = rng.uniform(0, 2 * math.pi) + np.cumsum(rng.normal(0, 0.35, 15))
        hair = _walk(start, bends, rng.uniform(1, 3) * unit)
        _line(opacity, hair, 0.8 * unit, rng.uniform(0.6, 1.0), rng)


def torn_edge(opacity: np.ndarray, rng: np.random.Generator, unit: float) -> None:
    """A missing strip or corner, with a rough edge; nothing of the photo is left there.

    It has no width in units: it is as large for every photo.
    """
    height, width = opacity.shape
    angle = rng.choice(8) * math.pi / 4 + rng.normal(0, 0.15)  # of the side or corner
    y, x = np.mgrid[:height, :width].astype(np.float32)
    across = (x / width - 0.5) * math.cos(angle) + (y / height - 0.5) * math.sin(angle)
    farthest = 0.5 * (abs(math.cos(angle)) + abs(math.sin(angle)))
    rough = 0.04 * noise(opacity.shape, 0.08, rng) + 0.01 * noise(opacity.shape, 0.015, rng)
    depth = across + rough - farthest + rng.uniform(0.08, 0.25)
    edge = np.clip(depth * min(height, width) + 0.5, 0, 1)  # soft over one pixel
    np.maximum(opacity, edge, out=opacity)


SHAPES: dict[str, Shape] = {
    "scratches": scratch,
    "cracks": crack,
    "folds": fold,
    "dust": dust,
    "torn": torn_edge,
}


def noise(shape: tuple[int, ...], size: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (H, W), mean about 0 and deviation 1; its spots measure `size` shorter sides."""
    height, width = shape[:2]
    cell = max(size * min(height, width), 1.0)
    cells = (math.ceil(width / cell) + 3, math.ceil(height / cell) + 3)
    coarse = rng.standard_normal(cells[::-1], np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    result: np.ndarray = fine / max(float(fine.std()), 1e-6)
    return result


def _walk(start: np.ndarray, angles: np.ndarray, step: float) -> np.ndarray:
    """Points (N + 1, 2), xy in px, each one `step` px farther in the direction of an angle."""
    moves = step * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.vstack([start, start + np.cumsum(moves, axis=0)])


def _line(
    opacity: np.ndarray,
    points: np.ndarray,
    width: float,
    strength: float,
    rng: np.random.Generator,
) -> None:
    """Draw a line that is worn: thinner and fainter in places."""
    drawn = np.zeros(opacity.shape, np.uint8)
    thickness = max(round(width), 1)
    fixed = np.round(points * 2**SHIFT).astype(np.int32)
    cv2.polylines(drawn, [fixed[:, None]], False, 255, thickness, cv2.LINE_AA, SHIFT)
    worn = np.clip(1.1 + 0.35 * noise(opacity.shape, 0.04, rng), 0, 1)
    thin = min(width, 1.0)  # a line below one pixel covers a part of it
    np.maximum(opacity, drawn / np.float32(255) * worn * strength * thin**0.5, out=opacity)


def _fixed(values: np.ndarray) -> tuple[int, int]:
    first, second = (max(round(float(value) * 2**SHIFT), 1) for value in values)
    return first, second
