"""Augmentation of HR faces and their component boxes, seeded by the caller."""

from dataclasses import dataclass

import cv2
import numpy as np

from faceskd.components import COMPONENTS

MIRRORED = tuple(
    COMPONENTS.index(name.replace("left", "~").replace("right", "left").replace("~", "right"))
    for name in COMPONENTS
)
"""Where each component's box comes from after a mirror: the eyes change places."""


@dataclass(frozen=True)
class Augment:
    """Mirror, small similarity transform, gain of the colours.

    Attributes:
        flip: probability of a mirror.
        jitter: probability of the similarity transform.
        rotate: largest rotation, degrees.
        scale: largest relative change of size.
        shift: largest shift, pixels of the 256 px face.
        colour: largest relative change of brightness; each channel changes by up to half as much
            on top of it.
    """

    flip: float = 0.5
    jitter: float = 0.5
    rotate: float = 4.0
    scale: float = 0.06
    shift: float = 6.0
    colour: float = 0.08

    def __call__(
        self, hr: np.ndarray, boxes: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (H, W, 3) and boxes (4, 4), xyxy -> the same of the changed face."""
        draws = rng.uniform(-1, 1, 8)
        flip, jitter = rng.random(2) < (self.flip, self.jitter)
        if flip:
            hr, boxes = mirror(hr, boxes)
        if jitter:
            angle, scale = self.rotate * draws[0], 1 + self.scale * draws[1]
            hr, boxes = similarity(hr, boxes, angle, scale, self.shift * draws[2:4])
        if self.colour:
            hr = self._recolour(hr, draws[4:])
        return np.ascontiguousarray(hr), boxes

    def _recolour(self, hr: np.ndarray, draws: np.ndarray) -> np.ndarray:
        gain = 1 + self.colour * (draws[0] + draws[1:4] / 2)
        levels = np.arange(256)[:, None] * gain
        table = np.clip(levels, 0, 255).round().astype(np.uint8)
        return cv2.LUT(hr, table[:, None])


def mirror(hr: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mirrored face; the boxes of left and right eye change places."""
    flipped = boxes.copy()
    flipped[:, [0, 2]] = hr.shape[1] - boxes[:, [2, 0]]
    return hr[:, ::-1], flipped[list(MIRRORED)]


def similarity(
    hr: np.ndarray, boxes: np.ndarray, angle: float, scale: float, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotate (degrees), scale and shift about the centre; boxes stay square and upright."""
    side = hr.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, scale)
    matrix[:, 2] += shift
    warped = cv2.warpAffine(
        hr, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5  # pixel centres, as warpAffine counts
    centres = centres @ matrix[:, :2].T + matrix[:, 2] + 0.5
    half = (boxes[:, 2:] - boxes[:, :2]) * scale / 2
    return warped, np.concatenate((centres - half, centres + half), axis=1).astype(np.float32)
