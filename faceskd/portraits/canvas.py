"""Antialiased drawing on a float RGB image: filled shapes, strokes, soft spots, hair.

Points are in pixels, x to the right and y down, with (0, 0) at the centre of the top left pixel.
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike

Window = tuple[slice, slice]

FINE, COARSE = 4, 2  # supersampling of small shapes and of large ones
LARGE = 40_000  # pixels
_SHIFT = 4  # fractional bits of OpenCV's polygon coordinates


def smooth(points: np.ndarray, steps: int = 8) -> np.ndarray:
    """A Catmull-Rom curve through all points: (N, D) -> ((N - 1) * steps + 1, D)."""
    points = np.asarray(points, np.float32)
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[:, None, None]
    curve = start + 0.5 * t * (
        end
        - before
        + t * (2 * before - 5 * start + 4 * end - after)
        + t * t * (3 * (start - end) + after - before)
    )
    return np.concatenate([curve.transpose(1, 0, 2).reshape(-1, points.shape[1]), points[-1:]])


def ribbon(points: np.ndarray, widths: np.ndarray | float) -> np.ndarray:
    """The outline of a stroke along `points` (N, 2), with one width or N widths in pixels."""
    points = np.asarray(points, np.float32)
    tangent = np.empty_like(points)
    tangent[1:-1] = points[2:] - points[:-2]
    tangent[0], tangent[-1] = points[1] - points[0], points[-1] - points[-2]
    tangent /= np.maximum(np.sqrt((tangent**2).sum(axis=1, keepdims=True)), 1e-6)
    normal = tangent[:, ::-1] * (-1, 1)
    half = np.broadcast_to(np.asarray(widths, np.float32) / 2, len(points))[:, None]
    return np.concatenate([points + normal * half, (points - normal * half)[::-1]])


def ellipse(centre: np.ndarray, radii: tuple[float, float], angle: float = 0.0) -> np.ndarray:
    """The outline of an ellipse, rotated by `angle` radians, (48, 2)."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, y = radii[0] * np.cos(turn), radii[1] * np.sin(turn)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos], axis=1)


class Canvas:
    """A square RGB image, float32 in [0, 1], (3, size, size), with drawing methods.

    Each method takes a `colour` (three numbers, or an array (3 or 1, size, size)), an `opacity`,
    and a `clip`, a mask (size, size) that limits the drawing. With `multiply`, the image is
    multiplied by the colour.

    Attributes:
        image: the picture.
        subject: share of each pixel that shows the person, not the background, (size, size).
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.image = np.zeros((3, size, size), np.float32)
        self.subject = np.zeros((size, size), np.float32)

    def mask(self, outline: np.ndarray, *, blur: float = 0.0) -> np.ndarray:
        """Share of each pixel that a polygon covers, (size, size) float32 in [0, 1]."""
        full = np.zeros((self.size, self.size), np.float32)
        window, coverage = self._coverage(outline, blur)
        full[window] = coverage
        return full

    def fill(
        self, outline: np.ndarray, colour: ArrayLike, *, blur: float = 0.0, **blend: Any
    ) -> None:
        """Fill a polygon (N, 2); `blur` is the standard deviation of its soft edge in pixels."""
        window, coverage = self._coverage(outline, blur)
        self._blend(window, coverage, colour, **blend)

    def stroke(
        self,
        points: np.ndarray,
        widths: np.ndarray | float,
        colour: ArrayLike,
        *,
        blur: float = 0.0,
        **blend: Any,
    ) -> None:
        """Draw along `points` (N, 2) with one width or N widths, in pixels."""
        self.fill(ribbon(points, widths), colour, blur=blur, **blend)

    def glow(
        self,
        centre: np.ndarray | tuple[float, float],
        radii: tuple[float, float],
        colour: ArrayLike,
        angle: float = 0.0,
        **blend: Any,
    ) -> None:
        """Draw a Gaussian spot with standard deviations `radii`, in pixels."""
        reach = 3 * max(radii)
        window, (x, y) = self._window(centre[0], centre[1], centre[0], centre[1], reach)
        x, y = x - np.float32(centre[0]), y - np.float32(centre[1])
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along, across = (x * cos + y * sin) / radii[0], (y * cos - x * sin) / radii[1]
        spot = np.exp(-0.5 * (along**2 + across**2)).astype(np.float32)
        self._blend(window, spot, colour, **blend)

    def paint(self, mask: np.ndarray, colour: ArrayLike, **blend: Any) -> None:
        """Draw a colour through a mask (size, size)."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if len(rows):
            window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            self._blend(window, mask[window], colour, **blend)

    def build(self, mask: np.ndarray, colour: ArrayLike) -> None:
        """Draw a part of the person: as `paint`, and add the mask to `subject`."""
        np.maximum(self.subject, mask, out=self.subject)
        self.paint(mask, colour)

    def hairs(self, lines: Sequence | np.ndarray, colour: ArrayLike, **blend: Any) -> None:
        """Draw many curves (N, 2), each one pixel wide."""
        self.paint(self.hair_mask(lines), colour, **blend)

    def hair_mask(self, lines: Sequence | np.ndarray) -> np.ndarray:
        """Mask of curves one pixel wide, (size, size) float32 in [0, 1]."""
        drawn = np.zeros((self.size, self.size), np.uint8)
        fixed = [np.round(np.asarray(line) * 2**_SHIFT).astype(np.int32) for line in lines]
        cv2.polylines(drawn, fixed, False, 255, 1, cv2.LINE_AA, _SHIFT)
        return drawn.astype(np.float32) / 255

    def _window(
        self, left: float, top: float, right: float, bottom: float, margin: float
    ) -> tuple[Window, tuple[np.ndarray, np.ndarray]]:
        """The window around a rectangle, and its coordinates x (1, W) and y (H, 1)."""
        first = [int(np.clip(np.floor(v - margin), 0, self.size)) for v in (left, top)]
        last = [int(np.clip(np.ceil(v + margin) + 1, 0, self.size)) for v in (right, bottom)]
        (x1, y1), (x2, y2) = first, [max(a, b) for a, b in zip(first, last, strict=True)]
        axes = (
            np.arange(x1, x2, dtype=np.float32)[None],
            np.arange(y1, y2, dtype=np.float32)[:, None],
        )
        return (slice(y1, y2), slice(x1, x2)), axes

    def _coverage(self, outline: np.ndarray, blur: float) -> tuple[Window, np.ndarray]:
        outline = np.asarray(outline, np.float64)
        (left, top), (right, bottom) = outline.min(axis=0), outline.max(axis=0)
        window, (x, y) = self._window(left, top, right, bottom, 1 + 3 * blur)
        height, width = y.size, x.size
        if not height or not width:
            return window, np.zeros((height, width), np.float32)
        factor = COARSE if height * width > LARGE else FINE
        fine = np.zeros((height * factor, width * factor), np.uint8)
        corner = np.array([x[0, 0], y[0, 0]])
        shifted = (outline - corner + 0.5) * factor - 0.5
        cv2.fillPoly(fine, [np.round(shifted * 2**_SHIFT).astype(np.int32)], 255, shift=_SHIFT)
        coverage = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
        coverage = coverage.astype(np.float32) / 255
        if blur > 0:
            coverage = cv2.GaussianBlur(coverage, (0, 0), blur, borderType=cv2.BORDER_CONSTANT)
        return window, coverage

    def _blend(
        self,
        window: Window,
        coverage: np.ndarray,
        colour: ArrayLike,
        *,
        opacity: float = 1.0,
        clip: np.ndarray | None = None,
        multiply: bool = False,
    ) -> None:
        if coverage.size == 0:
            return
        alpha = coverage * np.float32(opacity)
        if clip is not None:
            alpha = alpha * clip[window]
        planes = np.asarray(colour, np.float32)
        everywhere = (slice(None), *window)
        paint = planes[everywhere] if planes.ndim == 3 else planes[:, None, None]
        under = self.image[everywhere]
        if multiply:
            under *= 1 + (paint - 1) * alpha
        else:
            under += (paint - under) * alpha
