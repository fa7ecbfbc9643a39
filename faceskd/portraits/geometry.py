"""The shape of the head: positions of the 68 landmarks in space and in the picture.

The outline of the face is a superellipse, |x / width|^m + |y / height|^k = 1. The depth of the face
is proportional to 1 minus the left side. So a rotation of the head moves eyes, nose and mouth, but
hardly the outline, as on a real head. Landmarks are in the order of iBUG 300-W. All parts are drawn
as curves through them, so the landmarks are exact.
"""

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from faceskd.portraits.person import Person, Photo

DEPTH = 0.85
CRANIUM_SQUARE = 2.6  # the exponent k above the eyes; below them it is part of `Person`
MIRROR = np.array([-1.0, 1.0])


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    (cy, cp, cr), (sy, sp, sr) = np.cos([yaw, pitch, roll]), np.sin([yaw, pitch, roll])
    around_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    around_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    around_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return around_z @ around_x @ around_y


class Head:
    """The head of one person in one photo: converts head units to pixels."""

    def __init__(self, person: Person, photo: Photo, size: int) -> None:
        self.person, self.photo, self.size = person, photo, size
        self.unit = photo.scale * size
        self.rotation = _rotation(photo.yaw, photo.pitch, photo.roll)
        middle = np.array([0.0, (person.chin - person.cranium) / 2])
        offset = _rotation(0, 0, photo.roll)[:2, :2] @ middle
        self.origin = np.array(photo.centre) * size - offset * self.unit

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Depth of the face at points (..., 2), towards the viewer; 0 outside the outline."""
        return DEPTH * np.maximum(1 - self.radius(points), 0)

    def radius(self, points: np.ndarray) -> np.ndarray:
        """The left side of the equation of the superellipse; below 1 inside the outline."""
        person = self.person
        x, y = np.abs(points[..., 0]) / person.width, points[..., 1]
        below = np.maximum(y, 0) / person.chin
        above = np.maximum(-y, 0) / person.cranium
        return x**person.jaw_roundness + below**person.jaw_square + above**CRANIUM_SQUARE

    def place(self, points: ArrayLike, lift: np.ndarray | float = 0.0) -> np.ndarray:
        """Points on the face in head units (..., 2), raised by `lift` -> pixels (..., 2)."""
        flat = np.asarray(points, np.float64)
        return self.project(np.concatenate([flat, (self.depth(flat) + lift)[..., None]], axis=-1))

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points in head units (..., 3) -> pixels (..., 2), by a scaled orthographic camera."""
        return self.origin + self.unit * (points @ self.rotation[:2].T)

    @cached_property
    def jaw(self) -> np.ndarray:
        """Landmarks 0 to 16 in head units, equally spaced along the outline, (17, 2)."""
        person = self.person
        turn = np.linspace(-np.pi, np.pi, 401) / 2
        x = person.width * np.sign(turn) * np.abs(np.sin(turn)) ** (2 / person.jaw_roundness)
        y = person.chin * np.abs(np.cos(turn)) ** (2 / person.jaw_square)
        length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        stops = np.linspace(0, length[-1], 17)
        return np.stack([np.interp(stops, length, x), np.interp(stops, length, y)], axis=1)

    def _brow(self) -> np.ndarray:
        person = self.person
        along = np.linspace(0, 1, 5)  # from the temple to the nose
        x = -(person.eye_spacing + 0.29) + along * (person.eye_spacing + 0.17)
        bend = np.array([-0.045, 0.65, 1.0, 0.75, 0.2])
        y = -person.brow_height - self.photo.brow_raise - person.brow_arch * bend
        return np.stack([x, y], axis=1)

    def _eye(self) -> np.ndarray:
        person, spacing = self.person, self.person.eye_spacing
        half, height = person.eye_width, person.eye_height * self.photo.eye_open
        squint = 0.2 * max(self.photo.smile, 0)
        x = np.array([-1.0, -0.36, 0.34, 1.0, 0.36, -0.36]) * half - spacing
        y = np.array([0, -1.0, -0.98, 0, 0.62 * (1 - squint), 0.7 * (1 - squint)]) * height
        y += np.array([-1, -0.36, 0.34, 1, 0.36, -0.36]) * person.eye_tilt
        return np.stack([x, y], axis=1)

    def _nose(self) -> tuple[np.ndarray, np.ndarray]:
        length, width = self.person.nose_length, self.person.nose_width
        bridge_y = np.linspace(-0.03, length - 0.13, 4)
        bridge = np.stack([np.zeros(4), bridge_y], axis=1)
        x = np.array([-0.8, -0.42, 0, 0.42, 0.8]) * width
        y = length + np.array([-0.035, 0.01, 0.035, 0.01, -0.035])
        points = np.concatenate([bridge, np.stack([x, y], axis=1)])
        return points, np.array([0.06, 0.15, 0.25, 0.34, 0.12, 0.19, 0.22, 0.19, 0.12])

    def _mouth(self) -> np.ndarray:
        person, photo = self.person, self.photo
        half = person.mouth_width * (1 + 0.16 * photo.smile - 0.5 * photo.mouth_open)
        upper, lower = (
            lip * (1 - 0.18 * max(photo.smile, 0)) for lip in (person.upper_lip, person.lower_lip)
        )
        rise, drop = 0.25 * photo.mouth_open, 0.75 * photo.mouth_open
        outer_x = np.array([-1, -0.62, -0.22, 0, 0.22, 0.62, 1, 0.64, 0.3, 0, -0.3, -0.64])
        top = np.array([0, -0.62, -1.0, -0.84, -1.0, -0.62])
        low = np.array([0, 0.66, 0.95, 1.0, 0.95, 0.66])
        outer_y = np.concatenate([top * upper - rise * (top != 0), low * lower + drop * (low != 0)])
        inner_x = np.array([-0.86, -0.4, 0, 0.4, 0.86, 0.4, 0, -0.4])
        inner_y = np.array([0, -rise, -rise, -rise, 0, drop, drop, drop])
        inner_y += 0.012 * np.array([0, -1, 1, -1, 0, -1, 1, -1])  # the wave of the mouth line
        x, y = np.concatenate([outer_x, inner_x]), np.concatenate([outer_y, inner_y])
        y = person.mouth_y + y - 0.13 * photo.smile * (x**2 - 0.25)
        return np.stack([x * half, y], axis=1)

    @cached_property
    def landmarks(self) -> np.ndarray:
        """The 68 landmarks in pixels, (68, 2) float64."""
        brow, eye, mouth = self._brow(), self._eye(), self._mouth()
        nose, nose_lift = self._nose()
        other_eye = (eye * MIRROR)[[3, 2, 1, 0, 5, 4]]
        flat = [self.jaw, brow, (brow * MIRROR)[::-1], nose, eye, other_eye, mouth]
        lift = [np.zeros(17), np.full(10, 0.04), nose_lift, np.full(12, -0.03), np.full(20, 0.06)]
        return self.place(np.concatenate(flat), np.concatenate(lift))

    def eyeball(self, side: int) -> np.ndarray:
        """Centre of the iris in pixels; `side` is -1 on the left of the picture, else 1."""
        x, y = self.photo.gaze
        middle = np.array([side * self.person.eye_spacing, -0.18 * self.person.eye_height])
        return self.place(middle + np.array([x, y]) * self.person.eye_width, -0.03)
