"""The background of a portrait, skin texture, and the camera: highlights and noise."""

import cv2
import numpy as np

from faceskd.portraits.canvas import Canvas
from faceskd.portraits.geometry import Head

_KNEE = np.float32(0.78)  # brighter values are compressed instead of clipped


def draw_background(canvas: Canvas, head: Head) -> None:
    """A gradient with out-of-focus spots, brighter on one side."""
    rng = np.random.default_rng([head.photo.texture_seed, 1])
    size, small = canvas.size, 64
    base = rng.uniform(0.15, 0.85) * (1 + rng.uniform(-0.17, 0.17, 3))
    x, y = np.meshgrid(np.linspace(-1, 1, small), np.linspace(-1, 1, small))
    slope = rng.uniform(-0.25, 0.25, 2)
    field = 1 + slope[0] * x + slope[1] * y - 0.1 * (x**2 + y**2)
    image = base * field[..., None]
    for _ in range(int(rng.integers(0, 14))):
        spot = rng.uniform(-1, 1, 2)
        reach = rng.uniform(0.08, 0.45)
        weight = np.exp(-((((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / reach**2) ** 2))[..., None]
        image += weight * (rng.uniform(-0.18, 0.2) + rng.uniform(-0.06, 0.06, 3))
    image = np.clip(image, 0.02, 0.98).astype(np.float32)
    canvas.image[:] = np.moveaxis(cv2.resize(image, (size, size)), -1, 0)


def grain(head: Head, rng: np.random.Generator) -> np.ndarray:
    """Band-passed noise with unit variance, at the size of pores, (size, size)."""
    noise = rng.standard_normal((head.size, head.size), dtype=np.float32)
    fine = cv2.GaussianBlur(noise, (0, 0), 0.007 * head.unit)
    coarse = cv2.GaussianBlur(noise, (0, 0), 0.025 * head.unit)
    fine = fine - coarse
    return fine / max(float(fine.std()), 1e-6)


def develop(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Soft highlights, sensor noise and rounding: float -> uint8 (size, size, 3)."""
    image = canvas.image
    excess = np.maximum(image - _KNEE, 0)
    image = np.minimum(image, _KNEE) + excess / (1 + excess / (1 - _KNEE))
    noise = rng.standard_normal(image.shape[1:], dtype=np.float32)
    noise *= np.float32(rng.uniform(0.6, 1.8))
    image *= 255
    image += noise + np.float32(0.5)
    np.clip(image, 0, 255, out=image)
    return cv2.merge(list(image.astype(np.uint8)))
