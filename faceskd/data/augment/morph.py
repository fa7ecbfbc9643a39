"""Augmentation with faces between two people: few faces give many pairs.

Optical flow finds where each point of one face lies in the other, as in Kemelmacher-Shlizerman and
Seitz, "Collection Flow", CVPR 2012. Only component boxes are needed, no further landmarks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from faceskd.common.errors import ConfigError
from faceskd.data.augment.geometry import Another, BoxedFace, displace
from faceskd.data.augment.mixing import Mixing, face_window

THUMBNAIL_SIDE = 32
FLOW_SIDE = 128
SMOOTHNESS = 40.0
"""Smoothness weight of the flow, twice OpenCV's: two people differ more than two frames."""
FLOW_BLUR = 3.0
"""Standard deviation of the Gaussian that smooths the flow, px at `FLOW_SIDE`."""
LEAST_DEVIATION = 1.0
"""Least standard deviation to divide by, 8-bit levels."""
CONTRAST = (0.7, 1.4)
"""Smallest and largest factor of contrast when colours are matched; more would amplify noise."""


@dataclass(frozen=True)
class Morph(Mixing):
    """A face between this one and the most similar of several others, in shape and texture.

    The shape moves a random part of the way, uniform in [0, 1]. The texture is this face's, the
    other's, or a mean of both, each in a third of the cases; means are softer. Hair and
    surroundings are those of this face and follow its shape. If the other face is too different, or
    the displacement too large, the face stays unchanged.

    Attributes:
        probability: probability that a morph is tried.
        candidates: number of other faces to choose from.
        unlike: largest accepted distance to the other face: root mean square difference of
            normalised thumbnails. Two random faces have about sqrt(2).
        farthest: largest accepted displacement, px of 256.
        feather: width of the soft border, as a share of the face.

    Raises:
        ConfigError: there is no candidate.
    """

    probability: float = 0.5
    candidates: int = 16
    unlike: float = 0.8
    farthest: float = 34.0
    feather: float = 0.3

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ConfigError(f"expected at least 1 candidate for a morph, got {self.candidates}")

    def mix(
        self, hr: np.ndarray, boxes: np.ndarray, rng: np.random.Generator, another: Another
    ) -> BoxedFace:
        """The morphed face and its boxes, or the face unchanged."""
        window = face_window(boxes, hr.shape[0], self.feather)
        others = [another() for _ in range(self.candidates)]
        shape, texture = rng.random(), np.clip(rng.uniform(-1, 2), 0, 1)
        distances = distances_to(hr, [other for other, _ in others], window)
        distances[distances == 0] = np.inf  # the same face
        likest = int(np.argmin(distances))
        if distances[likest] > self.unlike:
            return hr, boxes
        other, other_boxes = others[likest]
        flow = window[..., None] * flow_between(hr, other, window)
        if np.abs(flow).max() > self.farthest * hr.shape[0] / 256:
            return hr, boxes
        moved, moved_boxes = displace(hr, boxes, -shape * flow)
        fitted = recolour(displace(other, other_boxes, (1 - shape) * flow)[0], moved, window)
        share = texture * window[..., None]
        mixed = (1 - share) * moved + share * fitted
        return mixed.clip(0, 255).round().astype(np.uint8), moved_boxes


def distances_to(face: np.ndarray, others: Sequence[np.ndarray], window: np.ndarray) -> np.ndarray:
    """Root mean square difference of normalised thumbnails in the window (H, W), to each other."""
    weights = _resize(window, THUMBNAIL_SIDE)
    one, *rest = (_normalised(_resize(image, THUMBNAIL_SIDE), weights) for image in (face, *others))
    return np.array([np.average((one - two) ** 2, weights=weights) ** 0.5 for two in rest])


def flow_between(face: np.ndarray, other: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Optical flow (H, W, 2) in px: point x of `face` corresponds to x + flow(x) in `other`.

    Args:
        face: uint8 RGB (H, H, 3).
        other: another face, of the same shape.
        window: weights (H, H) of the region in which brightness and contrast are matched.
    """
    side = face.shape[0]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    method.setFinestScale(0)
    method.setVariationalRefinementAlpha(SMOOTHNESS)
    weights = _resize(window, FLOW_SIDE)
    one, two = (
        (128 + 45 * _normalised(_resize(image, FLOW_SIDE), weights)).clip(0, 255).astype(np.uint8)
        for image in (face, other)
    )
    flow = method.calc(one, two, np.zeros((FLOW_SIDE, FLOW_SIDE, 2), np.float32))
    flow = cv2.GaussianBlur(flow, (0, 0), FLOW_BLUR)
    return cv2.resize(flow, (side, side), interpolation=cv2.INTER_LINEAR) * (side / FLOW_SIDE)


def recolour(image: np.ndarray, like: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Match mean and standard deviation of each channel to `like`, in the window; not clipped."""
    (mean, deviation), (wanted, spread) = _moments(image, window), _moments(like, window)
    contrast = (spread / np.maximum(deviation, LEAST_DEVIATION)).clip(*CONTRAST)
    return (image - mean) * contrast + wanted


def _normalised(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Luma (H, W) of uint8 (H, W, 3), normalised to mean 0 and deviation 1 in the window."""
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean, deviation = _moments(luma[..., None], weights)
    return (luma - mean) / np.maximum(deviation, LEAST_DEVIATION)


def _moments(image: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel of (H, W, C), weighted; float32 (C,)."""
    weights = (window / window.sum())[..., None]
    mean = (weights * image).sum((0, 1))
    return mean, (weights * (image - mean) ** 2).sum((0, 1)) ** 0.5


def _resize(image: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
