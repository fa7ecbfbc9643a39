"""Measure which detail a face in a photo lacks, and add only that detail.

The network sees only 32x32 pixels, so its result does not have the detail of a sharp face of
200 px. The result therefore does not replace the face. Both are split into octaves of spatial
frequency, and each octave is taken from the network only as far as the photo lacks it.

All sharp faces have similar spectra: the amplitude of each finer octave, divided by that of the
octave of 8 to 16 px, varies little between faces (`SHARP_FACES`). Lower values therefore show how
much detail was lost by blur or enlargement, whatever the size of the face in pixels.
"""

from functools import cache
from itertools import pairwise

import cv2
import numpy as np

from faceskd.faces.align import warp

SIZE = 256
"""Side of aligned faces and of the output of the network, px."""

OCTAVES = (8, 16, 32, 64, 128, 256)
"""Limits of the octaves, px: an image of a face needs at least `n` px to show such detail."""

SHARP_FACES = (0.69, 0.50, 0.36, 0.25)
"""Amplitudes of the last four octaves divided by that of the first, in sharp faces.

Medians of 551 photographs of 256 px (`tools/measure_sharp_faces.py`). 98 % of the values of each
octave are between 0.47 and 1.9 times its median.
"""

LACKING, PRESENT = 0.3, 0.6
"""Shares of a sharp face's amplitude at which an octave lacks everything, and nothing."""

CLEARLY_BETTER = 1.25
"""If the restored face has this many times the amplitude, the octave is replaced completely."""

COARSEST = 4
"""Coarser than this, px, are light and colour, which always stay those of the photo."""

FEATHER = 32
"""Width of the border over which windows and masks fade out, in px of the aligned face."""


def fade(distance: np.ndarray, feather: float = FEATHER) -> np.ndarray:
    """0 at the border of a face and outside, 1 from `feather` px inside, and smooth between."""
    t = np.clip(distance / feather, 0, 1)
    return t * t * (3 - 2 * t)


def octave_amplitudes(face: np.ndarray) -> np.ndarray:
    """The amplitude of each octave of an aligned face, RGB uint8 (256, 256, 3): (5,)."""
    window = _window()
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = (grey * window).sum() / window.sum()
    power = cv2.dct((grey - mean) * window) ** 2
    radius = _radius()
    sums = [power[(radius >= low) & (radius < high)].sum() for low, high in pairwise(OCTAVES)]
    return np.sqrt(sums)


def lacking(face: np.ndarray, resolution: float) -> np.ndarray:
    """How much a face lacks in each of the last four octaves, 0 (nothing) to 1 (everything).

    If an octave lacks something, finer octaves lack at least as much: their content is noise.

    Args:
        face: an aligned face, RGB uint8 (256, 256, 3).
        resolution: width of the face in the result, px. Detail that an image of this size cannot
            show is not counted as missing.

    Returns:
        (4,), from coarse to fine, never decreasing. All 0: as sharp as `resolution` allows.
    """
    share = _shares(face) / _held(min(resolution, SIZE))
    return np.maximum.accumulate(np.clip((PRESENT - share) / (PRESENT - LACKING), 0, 1))


def improvable(face: np.ndarray, restored: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What a face lacks and `restored` has, so that restoring never removes detail.

    Args:
        face, restored: RGB uint8, (256, 256, 3).
        weights: from `lacking`.

    Returns:
        The weights, (4,), reduced in octaves where `restored` has less than `CLEARLY_BETTER` times
        the amplitude of the face; 0 where it does not have more.
    """
    better = _falling(_shares(restored)) / np.maximum(_falling(_shares(face)), 1e-6)
    return weights * np.clip((better - 1) / (CLEARLY_BETTER - 1), 0, 1)


def missing_detail(face: np.ndarray, restored: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What to add to a face, so that octaves of `restored` replace its own.

    Args:
        face, restored: RGB uint8, (256, 256, 3).
        weights: for the last four octaves, (4,): 0 keeps that of the face, 1 takes `restored`. The
            first has no effect: all that is coarser than 48 px follows the second.

    Returns:
        Grey levels, float32 (256, 256, 3). Nothing is coarser than `COARSEST` px, so that light
        and colour stay those of the photo.
    """
    octaves = np.log2([COARSEST, 8, 48, 96, 192])
    values = [0, weights[1], weights[1], weights[2], weights[3]]
    gain = np.interp(np.log2(np.maximum(_radius(), 1)), octaves, values).astype(np.float32)
    difference = restored.astype(np.float32) - face
    return cv2.merge([cv2.idct(cv2.dct(part) * gain) for part in cv2.split(difference)])


def lr_crop(image: np.ndarray, matrix: np.ndarray, lr_size: int) -> np.ndarray:
    """Cut an LR face out of a photo. Each pixel is the mean of an area, as in training.

    The face is first cut out at about its own size, rounded to a multiple of `lr_size`.

    Args:
        image: the photo, RGB uint8 (H, W, 3).
        matrix: maps the photo to a face of 256 px, (2, 3).
        lr_size: side of the LR face.
    """
    multiple = int(np.clip(round(frame_size(matrix) / lr_size), 1, SIZE // lr_size))
    side = multiple * lr_size
    crop = warp(image, matrix * (side / SIZE), side)
    return cv2.resize(crop, (lr_size, lr_size), interpolation=cv2.INTER_AREA)


def frame_size(matrix: np.ndarray, side: int = SIZE) -> float:
    """Side, in px of the photo, of the square that `matrix` maps to a frame of `side` px."""
    return side / float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def _shares(face: np.ndarray) -> np.ndarray:
    """The amplitudes of the last four octaves divided by those of a sharp face, (4,)."""
    first, *rest = octave_amplitudes(face)
    return np.array(rest) / np.maximum(np.array(SHARP_FACES) * first, 1e-6)


def _falling(shares: np.ndarray) -> np.ndarray:
    """Limit each value to those before it: amplitudes that rise again are noise."""
    return np.minimum.accumulate(shares)


def _held(resolution: float) -> np.ndarray:
    """The share of each octave's amplitude that an image of `resolution` px keeps.

    Relative to 256 px. The area of a pixel and the cubic kernel that enlarges it are low-pass
    filters; each is approximated by a sinc.
    """
    centres = np.sqrt(np.multiply(OCTAVES[1:-1], OCTAVES[2:]))
    passed = np.sinc(np.minimum(centres / (2 * resolution), 0.9))
    return (passed / np.sinc(centres / (2 * SIZE))) ** 2


@cache
def _radius() -> np.ndarray:
    """For each coefficient of the cosine transform, the smallest width that can show it, px."""
    index = np.arange(SIZE, dtype=np.float32)
    return np.hypot(index[:, None], index[None])


@cache
def _window() -> np.ndarray:
    edge = fade(np.minimum(np.arange(SIZE) + 0.5, SIZE - 0.5 - np.arange(SIZE)))
    return np.outer(edge, edge).astype(np.float32)
