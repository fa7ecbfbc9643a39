"""Augmentation of HR faces and their component boxes. The caller passes the random generator.

`conf/augment/default.yaml` uses `SimilarityJitter` only. `strong.yaml` uses `Compose` with several
augmentations, some of which (`mixing`, `morph`) use other faces, too. Component boxes move with the
face.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from faceskd.common.errors import ConfigError
from faceskd.faces.components import mirror_boxes

BoxedFace = tuple[np.ndarray, np.ndarray]
"""An HR face, uint8 RGB (H, W, 3), and its component boxes (4, 4), xyxy in px."""

Another = Callable[[], BoxedFace]
"""Function that draws another face of the same split, with the same generator."""


INVERSION_STEPS = 4
"""Fixed-point steps to solve x + field(x) = y. Each step leaves at most a third of the error."""


class Augmentation(Protocol):
    """Maps a face and its boxes to a changed face and its boxes; all randomness is from `rng`."""

    def __call__(
        self,
        hr: np.ndarray,
        boxes: np.ndarray,
        rng: np.random.Generator,
        another: Another | None = None,
    ) -> BoxedFace: ...


@dataclass(frozen=True)
class SimilarityJitter:
    """Mirroring, a small similarity transform, and a change of brightness and colour.

    Attributes:
        flip: probability of mirroring.
        jitter: probability of the similarity transform.
        rotate: largest rotation, degrees.
        scale: largest relative change of size.
        shift: largest shift, px.
        colour: largest relative change of brightness. In addition, each channel changes by up to
            half as much.
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
    """Random exposure, gamma, white balance and saturation, as of other cameras and other light.

    Attributes:
        exposure: largest change of exposure in stops; 1 halves or doubles the values.
        gamma: largest change of the base-2 logarithm of the gamma exponent.
        white_balance: largest relative change of each channel.
        saturation: largest relative change of saturation.
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
    """Change the shape of a face by a smooth, nearly symmetric displacement of its pixels.

    Random displacements are drawn at the nodes of three grids and interpolated cubically. The
    coarse grid moves whole parts of the face and its outline. The fine grid changes the shape of
    the parts. The finest grid changes details, such as eyelids and nostrils.

    Attributes:
        probability: probability that the face is changed.
        coarse: standard deviation of the displacement at nodes 1/4 of the face apart, px of 256.
        fine: the same at nodes 1/8 of the face apart.
        finest: the same at nodes 1/16 of the face apart.
        asymmetry: share of the variance that is not mirror-symmetric.
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
        """Displacements (side, side, 2), interpolated from nodes with variance 1."""
        nodes = rng.standard_normal((cells + 1, cells + 1, 2)).clip(
            -2, 2
        )  # limits the displacement, so that it does not fold the face
        mirrored = nodes[:, ::-1] * (-1, 1)
        even, odd = nodes + mirrored, nodes - mirrored  # each has twice the variance
        mixed = ((1 - self.asymmetry) / 2) ** 0.5 * even + (self.asymmetry / 2) ** 0.5 * odd
        cell = side // cells  # cv2 places nodes at cell centres; half a cell is cut off below
        between = cv2.resize(mixed, (side + cell, side + cell), interpolation=cv2.INTER_CUBIC)
        return between[cell // 2 :, cell // 2 :][:side, :side].astype(np.float32)


@dataclass(frozen=True)
class Window:
    """A random square of the face: a network that is convolutional can train on parts of faces.

    Attributes:
        side: of the square, px; a face that is no larger stays whole.
    """

    side: int = 256

    def __call__(
        self,
        hr: np.ndarray,
        boxes: np.ndarray,
        rng: np.random.Generator,
        another: Another | None = None,
    ) -> BoxedFace:
        """See `Augmentation`; boxes keep their place in the face, and may lie outside."""
        if self.side >= hr.shape[0]:
            return hr, boxes
        top, left = rng.integers(hr.shape[0] - self.side + 1, size=2)
        window = hr[top : top + self.side, left : left + self.side]
        corner = np.array([left, top, left, top], np.float32)
        return np.ascontiguousarray(window), boxes - corner


class Compose:
    """Several augmentations in sequence.

    Args:
        steps: augmentations by any names, applied in this order. None skips a step.

    Raises:
        ConfigError: a step is not callable.
    """

    def __init__(self, **steps: Augmentation | None) -> None:
        self.steps = {name: step for name, step in steps.items() if step is not None}
        for name, step in self.steps.items():
            if not callable(step):
                raise ConfigError(f"expected an augmentation for the step {name!r}, got {step!r}")

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
    """The mirrored face. The boxes of the left and the right eye are exchanged."""
    return hr[:, ::-1], mirror_boxes(boxes, hr.shape[1])


def displace(hr: np.ndarray, boxes: np.ndarray, field: np.ndarray) -> BoxedFace:
    """Take pixel x from x + field(x), with field (H, W, 2) in px. Boxes move with their centres."""
    side = hr.shape[0]
    across, down = np.meshgrid(*[np.arange(side, dtype=np.float32)] * 2)
    warped = cv2.remap(
        np.ascontiguousarray(hr),
        across + field[..., 0],
        down + field[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    centres = (
        boxes[:, :2] + boxes[:, 2:]
    ) / 2 - 0.5  # in remap's coordinates, pixel centres are whole numbers
    moved = centres
    for _ in range(INVERSION_STEPS):
        x, y = moved.round().astype(int).clip(0, side - 1).T
        moved = centres - field[y, x]
    return warped, (boxes + np.tile(moved - centres, 2)).astype(np.float32)


def similarity(
    hr: np.ndarray, boxes: np.ndarray, angle: float, scale: float, shift: np.ndarray
) -> BoxedFace:
    """Rotate (degrees), scale and shift around the centre. Boxes stay square and upright."""
    side = hr.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), angle, scale)
    matrix[:, 2] += shift
    warped = cv2.warpAffine(
        hr, matrix, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5  # as for remap
    centres = centres @ matrix[:, :2].T + matrix[:, 2] + 0.5
    half = (boxes[:, 2:] - boxes[:, :2]) * scale / 2
    return warped, np.concatenate((centres - half, centres + half), axis=1).astype(np.float32)
