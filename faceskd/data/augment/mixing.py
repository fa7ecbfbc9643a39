"""Augmentation by parts of other faces: what few faces have too little of is their combinations.

Faces of a folder of prepared faces are aligned, so that parts of one fit into another. Boxes stay
those of the face, whatever part it is given; `morph` goes further, and moves them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import cv2
import numpy as np

from faceskd.data.augment.geometry import Another, BoxedFace
from faceskd.faces.components import COMPONENTS

PARTS = (("left_eye", "right_eye"), ("nose",), ("mouth",))
"""What changes hands together: two eyes of two people would not match."""


@dataclass(frozen=True)
class Mixing(ABC):
    """An `Augmentation` that sometimes takes something of another face.

    Attributes:
        probability: that it happens.
    """

    probability: float

    def __call__(
        self,
        hr: np.ndarray,
        boxes: np.ndarray,
        rng: np.random.Generator,
        another: Another | None = None,
    ) -> BoxedFace:
        """See `faceskd.data.augment.geometry.Augmentation`."""
        if another is None or rng.random() >= self.probability:
            return hr, boxes
        return self.mix(hr, boxes, rng, another)

    @abstractmethod
    def mix(
        self, hr: np.ndarray, boxes: np.ndarray, rng: np.random.Generator, another: Another
    ) -> BoxedFace:
        """The face with what it takes of another, and its boxes."""


@dataclass(frozen=True)
class Exchange(Mixing):
    """The eyes, the nose or the mouth of another face, fitted into the face's own boxes.

    The colour is shifted to match around the part; faces too unlike for that are left alone.

    Attributes:
        probability: that it happens.
        feather: width of the soft border, as a share of the box.
        unlike: largest accepted shift of a channel, 8-bit levels.
    """

    probability: float = 0.3
    feather: float = 0.25
    unlike: float = 40.0

    def mix(
        self, hr: np.ndarray, boxes: np.ndarray, rng: np.random.Generator, another: Another
    ) -> BoxedFace:
        """The face with a part of another, or as it was."""
        part = PARTS[rng.integers(len(PARTS))]
        other, other_boxes = another()
        mixed = hr.astype(np.float32)
        for index in map(COMPONENTS.index, part):
            weight = box_window(boxes[index], hr.shape[0], self.feather)[..., None]
            fitted = _fit(other, other_boxes[index], boxes[index])
            border = weight * (1 - weight)
            shift = (border * (mixed - fitted)).sum((0, 1)) / max(border.sum(), 1e-6)
            if np.abs(shift).max() > self.unlike:
                return hr, boxes
            mixed += weight * (fitted + shift - mixed)
        return mixed.clip(0, 255).round().astype(np.uint8), boxes


@dataclass(frozen=True)
class Background(Mixing):
    """Another face's surroundings, hair included, outside of a soft ellipse around the face.

    No segmentation is needed, and none is pretended: what reaches over the ellipse fades. Faces
    that are turned aside do not fill it, and are left alone.

    Attributes:
        probability: that it happens.
        feather: width of the soft border, as a share of the ellipse.
        turned: how far aside the nose may be, in distances between the eyes.
    """

    probability: float = 0.2
    feather: float = 0.15
    turned: float = 0.08

    def mix(
        self, hr: np.ndarray, boxes: np.ndarray, rng: np.random.Generator, another: Another
    ) -> BoxedFace:
        """The face in the surroundings of another, or as it was."""
        other, other_boxes = another()
        if max(_turn(boxes), _turn(other_boxes)) > self.turned:
            return hr, boxes
        weight = face_window(boxes, hr.shape[0], self.feather)[..., None]
        mixed = weight * hr.astype(np.float32) + (1 - weight) * other
        return mixed.round().astype(np.uint8), boxes


def box_window(box: np.ndarray, side: int, feather: float) -> np.ndarray:
    """1 inside of a box xyxy, 0 outside, with a soft border inside of it; float32 (side, side)."""
    places = np.arange(side, dtype=np.float32) + 0.5
    across, down = (
        _smooth(np.minimum(places - low, high - places) / (feather * (high - low)))
        for low, high in (box[[0, 2]], box[[1, 3]])
    )
    return down[:, None] * across


def face_window(boxes: np.ndarray, side: int, feather: float) -> np.ndarray:
    """1 inside of an ellipse around the face, 0 outside, with a soft border; (side, side).

    The face is taken to be 2.1 distances between the eyes wide, without ears, and 3.6 distances
    between eyes and mouth high, hair included.
    """
    left, right, _, mouth = (boxes[:, :2] + boxes[:, 2:]) / 2
    eyes = (left + right) / 2
    half_width = 1.05 * np.linalg.norm(right - left)
    half_height = 1.8 * np.linalg.norm(mouth - eyes)
    x, y = eyes + 0.25 * (mouth - eyes)
    rows, columns = np.ogrid[:side, :side]
    radius = np.hypot((columns + 0.5 - x) / half_width, (rows + 0.5 - y) / half_height)
    return _smooth((1 - radius) / feather).astype(np.float32)


def _turn(boxes: np.ndarray) -> float:
    """How far the nose is aside of the middle of the eyes, in distances between them."""
    left, right, nose, _ = (boxes[:, 0] + boxes[:, 2]) / 2
    return float(abs(nose - (left + right) / 2) / (right - left))


def _smooth(ramp: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and half a cosine between."""
    return 0.5 - 0.5 * np.cos(np.pi * ramp.clip(0, 1))


def _fit(image: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """An image moved and resized so that the box `source` becomes `target`; float32."""
    scale = (target[2:] - target[:2]) / (source[2:] - source[:2])
    shift = target[:2] - scale * source[:2] + (scale - 1) / 2  # pixel i lies around i + 0.5
    matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
    size = (image.shape[1], image.shape[0])
    return cv2.warpAffine(
        image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    ).astype(np.float32)
