"""Augmentation with parts of other faces: new combinations from few faces.

Prepared faces are aligned, so that parts of one fit into another. The component boxes do not change
here. They do in `faceskd.data.augment.morph`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import cv2
import numpy as np

from faceskd.data.augment.geometry import Another, BoxedFace
from faceskd.faces.components import COMPONENTS

PARTS = (("left_eye", "right_eye"), ("nose",), ("mouth",))
"""Components that are exchanged together: the eyes of two people would not match."""


@dataclass(frozen=True)
class Mixing(ABC):
    """Base class of an `Augmentation` that uses another face.

    Attributes:
        probability: probability that the face is changed.
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
        """The face mixed with another one, and its boxes."""


@dataclass(frozen=True)
class Exchange(Mixing):
    """Replace the eyes, the nose or the mouth by those of another face, resized to the boxes.

    The part's colours are shifted so that they match at its border. If the shift is too large, the
    face stays unchanged.

    Attributes:
        probability: probability that the face is changed.
        feather: width of the soft border, as a share of the box.
        unlike: largest accepted shift of a channel, 8-bit levels.
    """

    probability: float = 0.3
    feather: float = 0.25
    unlike: float = 40.0

    def mix(
        self, hr: np.ndarray, boxes: np.ndarray, rng: np.random.Generator, another: Another
    ) -> BoxedFace:
        """The face with a part of another, or unchanged."""
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
    """Replace everything outside an ellipse around the face, hair included, by another photo's.

    There is no segmentation: the two photos blend at the soft border of the ellipse. Faces that are
    turned to the side do not fill the ellipse and stay unchanged.

    Attributes:
        probability: probability that the face is changed.
        feather: width of the soft border, as a share of the ellipse.
        turned: largest accepted horizontal distance of the nose from the middle between the eyes,
            as a share of the distance between the eyes.
    """

    probability: float = 0.2
    feather: float = 0.15
    turned: float = 0.08

    def mix(
        self, hr: np.ndarray, boxes: np.ndarray, rng: np.random.Generator, another: Another
    ) -> BoxedFace:
        """The face in the surroundings of another, or unchanged."""
        other, other_boxes = another()
        if max(_turn(boxes), _turn(other_boxes)) > self.turned:
            return hr, boxes
        weight = face_window(boxes, hr.shape[0], self.feather)[..., None]
        mixed = weight * hr.astype(np.float32) + (1 - weight) * other
        return mixed.round().astype(np.uint8), boxes


def box_window(box: np.ndarray, side: int, feather: float) -> np.ndarray:
    """Window: 1 inside a box xyxy, 0 outside, soft border inside the box; float32 (side, side)."""
    places = np.arange(side, dtype=np.float32) + 0.5
    across, down = (
        _smooth(np.minimum(places - low, high - places) / (feather * (high - low)))
        for low, high in (box[[0, 2]], box[[1, 3]])
    )
    return down[:, None] * across


def face_window(boxes: np.ndarray, side: int, feather: float) -> np.ndarray:
    """Window: 1 inside an ellipse around the face, 0 outside, with a soft border; (side, side).

    The width is 2.1 times the distance between the eyes (without ears). The height is 3.6 times the
    distance from eyes to mouth (with hair).
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
    """Horizontal distance of the nose from the middle between the eyes, over the eye distance."""
    left, right, nose, _ = (boxes[:, 0] + boxes[:, 2]) / 2
    return float(abs(nose - (left + right) / 2) / (right - left))


def _smooth(ramp: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, a half cosine between."""
    return 0.5 - 0.5 * np.cos(np.pi * ramp.clip(0, 1))


def _fit(image: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Move and resize an image so that the box `source` lies at `target`; float32."""
    scale = (target[2:] - target[:2]) / (source[2:] - source[:2])
    shift = target[:2] - scale * source[:2] + (scale - 1) / 2  # pixel i has its centre at i + 0.5
    matrix = np.array([[scale[0], 0, shift[0]], [0, scale[1], shift[1]]])
    size = (image.shape[1], image.shape[0])
    return cv2.warpAffine(
        image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    ).astype(np.float32)
