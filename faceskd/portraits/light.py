"""Lighting: a key light and ambient light on a height field of the head."""

from collections.abc import Iterator

import cv2
import numpy as np

from faceskd.portraits.canvas import Canvas
from faceskd.portraits.geometry import Head

_COARSE = 4  # the height field is smooth, so a quarter of the resolution is enough
_RIM, _EDGE = 0.85, 1.3
SHADOW_TINT = np.array([0.0, 0.03, 0.045], np.float32)  # dark skin has redder shadows


def _height(head: Head) -> np.ndarray:
    """Height of the head above the picture plane in head units, on a coarse pixel grid."""
    size = -(-head.size // _COARSE)
    grid = (np.arange(size, dtype=np.float32) + 0.5) * _COARSE - 0.5
    roll = head.photo.roll
    cos, sin = np.float32(np.cos(roll)), np.float32(np.sin(roll))
    x, y = (grid[None] - head.origin[0]) / head.unit, (grid[:, None] - head.origin[1]) / head.unit
    flat = np.stack([x * cos + y * sin, y * cos - x * sin], axis=-1).astype(np.float32)
    radius = head.radius(flat)
    outside = np.maximum(radius - _RIM, 0)  # hair and neck: the slope fades out beyond the rim
    radius = np.minimum(radius, _RIM) + (_EDGE - _RIM) * (1 - np.exp(-outside / (_EDGE - _RIM)))
    height = 0.95 * np.sqrt(_EDGE + 0.02 - radius)
    for centre, (along, across), amount in _bumps(head):
        u = (grid[None] - centre[0]) / head.unit
        v = (grid[:, None] - centre[1]) / head.unit
        u, v = u * cos + v * sin, v * cos - u * sin
        height += amount * np.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return height.astype(np.float32)


def _bumps(head: Head) -> Iterator[tuple[np.ndarray, tuple[float, float], float]]:
    """Bumps and hollows of the face: centre in pixels, extent and height in head units."""
    points, person = head.landmarks, head.person
    width, ridge = person.nose_width, 0.07 + 0.15 * person.nose_width
    for place, amount in zip(np.linspace(0, 1, 6), np.linspace(0.02, 0.055, 6), strict=True):
        yield points[27] * (1 - place) + points[30] * place, (ridge, 0.11), amount
    yield points[30], (0.55 * width, 0.11), 0.1
    yield 0.7 * points[31] + 0.3 * points[30], (0.3 * width, 0.075), 0.05
    yield 0.7 * points[35] + 0.3 * points[30], (0.3 * width, 0.075), 0.05
    for eye, brow in ((points[36:42], points[17:22]), (points[42:48], points[22:27])):
        centre = eye.mean(axis=0)
        yield centre, (0.27, 0.16), -0.1
        yield centre, (0.17, 0.11), 0.06
        yield brow.mean(axis=0), (0.24, 0.08), 0.04 + 0.03 * person.masculine
    cheek = person.eye_spacing + 0.14
    for side in (-1.0, 1.0):
        yield head.place([side * cheek, 0.42]), (0.22, 0.18), 0.07
        yield head.place([side * (person.mouth_width + 0.16), person.mouth_y]), (0.08, 0.2), -0.02
    yield points[51], (0.24, 0.05), 0.035
    yield points[57], (0.2, 0.05), 0.05
    yield points[57] * 0.75 + points[8] * 0.25, (0.22, 0.06), -0.04
    yield points[57] * 0.3 + points[8] * 0.7, (0.2, 0.14), 0.09
    yield (points[33] + points[51]) / 2, (0.035, 0.07), -0.02


def light_map(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """The light on the head as a factor (3, size, size), and its gloss (size, size)."""
    height = _height(head)
    slope = _COARSE / head.unit
    across, down = np.gradient(height, slope)[::-1]
    normal = np.stack([-across, -down, np.ones_like(height)])
    normal /= np.linalg.norm(normal, axis=0)
    light = np.array(head.photo.light, np.float32)
    wrap = 0.25
    facing = (np.tensordot(light, normal, 1) + wrap) / (1 + wrap)
    front = (light[2] + wrap) / (1 + wrap)
    ambient = head.photo.ambient * (0.75 + 0.25 * normal[2] - 0.1 * normal[1])
    key = 1 - head.photo.ambient
    shade = (ambient + key * np.maximum(facing, 0)) / (head.photo.ambient + key * front)
    half = light + np.array([0, 0, 1])
    gloss = np.maximum(np.tensordot(half / np.linalg.norm(half), normal, 1), 0) ** 28
    shade = np.clip(shade, 0.12, 1.4)[..., None] * head.photo.exposure
    warm = 1 + head.photo.warmth * np.array([1, 0.1, -1])
    factor = shade * warm * (1 - SHADOW_TINT * np.maximum(1 - shade, 0) * 2)
    both = np.concatenate([factor, gloss[..., None]], axis=-1).astype(np.float32)
    full = cv2.resize(both, (head.size, head.size))
    planes = np.ascontiguousarray(np.moveaxis(full, -1, 0))
    return planes[:3], planes[3]


def apply_light(canvas: Canvas, head: Head, pores: np.ndarray, skin: np.ndarray) -> None:
    """Apply light to the person. `pores` is a height map; pixels in the mask `skin` are glossy."""
    factor, gloss = light_map(head)
    factor *= 1 + pores
    canvas.paint(canvas.subject, factor, multiply=True)
    canvas.paint(skin * gloss, (1.0, 0.97, 0.93), opacity=0.14 + 0.06 * head.person.tone)
