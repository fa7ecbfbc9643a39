"""Augmentation of HR faces and their component boxes, seeded by the caller.

`conf/augment/default.yaml` is `SimilarityJitter` alone. `strong.yaml` is `Compose` of several, some
of which (`mixing`, `morph`) use other faces, too. Boxes move with the pixels of their face.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from faceskd.common.errors import ConfigError
from faceskd.faces.components import mirror_boxes

BoxedFace = tuple[np.ndarray, np.ndarray]
"""An HR face, uint8 RGB (H, W, 3), and its component boxes (4, 4), xyxy."""

Another = Callable[[], BoxedFace]
"""Draws another face of the same split, by the same generator."""


INVERSION_STEPS = 4
"""Fixed-point steps to x with x + field(x) = y; each leaves a third of the error, or less."""


class Augmentation(Protocol):
    """A face and its boxes -> the same of the changed face; the generator alone decides how."""

    def __call__(
        self,
        hr: np.ndarray,
        boxes: np.ndarray,
        rng: np.random.Generator,
        another: Another | None = None,
    ) -> BoxedFace: ...


@dataclass(frozen=True)
class SimilarityJitter:
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
        self,
        hr: np.ndarray,
        boxes: np.ndarray,
        rng: np.random.Generator,
        another: Another | None = None,
    ) -> BoxedFace:
        """See `Augmentation`."""
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


@dataclass(frozen=True)
class Tone:
    """Exposure, contrast and colours, as another camera, light or decade would have had them.

    Attributes:
        exposure: largest change, stops: 1 halves or doubles the levels.
        gamma: largest change of the exponent, in its logarithm to base 2.
        white_balance: largest relative change of each channel.
        saturation: largest relative change.
        grey: probability of a monochrome picture.
    """

    exposure: float = 0.35
    gamma: float = 0.3
    white_balance: float = 0.08
    saturation: float = 0.3
    grey: float = 0.03

    def __call__(
        self,
        hr: np.ndarray,
        boxes: np.ndarray,
        rng: np.random.Generator,
        another: Another | None = None,
    ) -> BoxedFace:
        """See `Augmentation`."""
        draws = rng.uniform(-1, 1, 6)
        colour = 0.0 if rng.random() < self.grey else 1 + self.saturation * draws[0]
        gain = 2 ** (self.exposure * draws[1]) * (1 + self.white_balance * draws[2:5])
        levels = (np.arange(256)[:, None] / 255) ** 2 ** (self.gamma * draws[5]) * gain
        table = (levels.clip(0, 1) * 255).round().astype(np.uint8)
        hr = cv2.LUT(np.ascontiguousarray(hr), table[:, None])
        grey = cv2.cvtColor(cv2.cvtColor(hr, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        return cv2.addWeighted(hr, colour, grey, 1 - colour, 0), boxes


@dataclass(frozen=True)
class Warp:
    """Another face's shape: a smooth, nearly symmetric displacement of the pixels.

    Displacements are drawn at the nodes of a coarse grid, which moves parts of the face and its
    outline, of a fine one, which changes the parts themselves, and of one for their details, such
    as lids and nostrils; between nodes they are cubic.

    Attributes:
        probability: that it happens.
        coarse: standard deviation at nodes 1/4 of the face apart, pixels of 256.
        fine: the same, at nodes 1/8 of it apart.
        finest: the same, at nodes 1/16 of it apart.
        asymmetry: share of the variance that is opposite in the two halves of the face.
    """

    probability: float = 0.6
    coarse: float = 3.5
    fine: float = 1.2
    finest: float = 0.0
    asymmetry: float = 0.3

    def __call__(
        self,
        hr: np.ndarray,
        boxes: np.ndarray,
        rng: np.random.Generator,
        another: Another | None = None,
    ) -> BoxedFace:
        """See `Augmentation`."""
        if rng.random() >= self.probability:
            return hr, boxes
        side = hr.shape[0]
        levels = {4: self.coarse, 8: self.fine, 16: self.finest}
        field = np.zeros((side, side, 2), np.float32)
        for cells, size in levels.items():
            if size:
                field += size * self._drawn(rng, side, cells)
        return displace(hr, boxes, field * (side / 256))

    def _drawn(self, rng: np.random.Generator, side: int, cells: int) -> np.ndarray:
        """Displacements (side, side, 2) from nodes at the corners of cells, of variance 1 there."""
        nodes = rng.standard_normal((cells + 1, cells + 1, 2)).clip(-2, 2)  # no folds
        mirrored = nodes[:, ::-1] * (-1, 1)
        even, odd = nodes + mirrored, nodes - mirrored  # of twice the variance
        mixed = ((1 - self.asymmetry) / 2) ** 0.5 * even + (self.asymmetry / 2) ** 0.5 * odd
        cell = side // cells  # cv2 takes nodes for centres of cells: half of one is left over
        between = cv2.resize(mixed, (side + cell, side + cell), interpolation=cv2.INTER_CUBIC)
        return between[cell // 2 :, cell // 2 :][:side, :side].astype(np.float32)


class Compose:
    """Several augmentations, one after another.

    Args:
        steps: in order, by any names; None leaves one out.

    Raises:
        ConfigError: a step cannot be called.
    """

    def __init__(self, **steps: Augmentation | None) -> None:
        self.steps = {name: step for name, step in steps.items() if step is not None}
        for name, step in self.steps.items():
            if not callable(step):
                raise ConfigError(f"expected the step {name!r} as an augmentation, got {step!r}")

    def __call__(
        self,
        hr: np.ndarray,
        boxes: np.ndarray,
        rng: np.random.Generator,
        another: Another | None = None,
    ) -> BoxedFace:
        """See `Augmentation`."""
        for step in self.steps.values():
            hr, boxes = step(hr, boxes, rng, another)
        return hr, boxes


def mirror(hr: np.ndarray, boxes: np.ndarray) -> BoxedFace:
    """The mirrored face; the boxes of left and right eye change places."""
    return hr[:, ::-1], mirror_boxes(boxes, hr.shape[1])


def displace(hr: np.ndarray, boxes: np.ndarray, field: np.ndarray) -> BoxedFace:
    """Take pixel x from x + field(x), where field is (H, W, 2), px; boxes move as their centres."""
    side = hr.shape[0]
    across, down = np.meshgrid(*[np.arange(side, dtype=np.float32)] * 2)
    warped = cv2.remap(
        np.ascontiguousarray(hr),
        across + field[..., 0],
        down + field[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5  # pixel centres, as remap counts
    moved = centres
    for _ in range(INVERSION_STEPS):
        x, y = moved.round().astype(int).clip(0, side - 1).T
        moved = centres - field[y, x]
    return warped, (boxes + np.tile(moved - centres, 2)).astype(np.float32)


def similarity(
    hr: np.ndarray, boxes: np.ndarray, angle: float, scale: float, shift: np.ndarray
) -> BoxedFace:
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
