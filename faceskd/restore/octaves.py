"""What detail a face in a photo lacks, and adding only that.

A network that sees 32x32 pixels forgets what a face of 200 sharp pixels shows. So its result is
not laid over the photo: the face is taken apart into octaves of spatial frequency, and an octave
comes from the network only as far as the photo lacks it.

Sharp faces are much alike: relative to the octave of 8 to 16 px, the amplitude of each finer
octave varies little from one to another (`SHARP_FACES`). How far a face falls short of that tells
what blur and enlargement have taken from it, whatever its size in pixels.
"""

from functools import cache
from itertools import pairwise

import cv2
import numpy as np

from faceskd.faces.align import warp

SIZE = 256
"""Side of the faces here: what the network makes."""

OCTAVES = (8, 16, 32, 64, 128, 256)
"""Limits of the octaves. A detail of `n` px is one that a face of `n` px across can just hold."""

SHARP_FACES = (0.69, 0.50, 0.36, 0.25)
"""Amplitudes of the last four octaves, over that of the first, in sharp faces.

Medians of 551 photographs of 256 px (`tools/measure_sharp_faces.py`); of each, 98 % lie between
0.47 and 1.9 of its median.
"""

LACKING, PRESENT = 0.3, 0.6
"""An octave at this share of a sharp face's amplitude, or less, is lacking; at this, present."""

CLEARLY_BETTER = 1.25
"""An octave of this many times the amplitude in the restored face is taken from it in full."""

COARSEST = 4
"""Below this many px lie light and colour, which are always the photo's."""

FEATHER = 32
"""Pixels of a face over which windows and masks fade to its border."""


def fade(distance: np.ndarray, feather: float = FEATHER) -> np.ndarray:
    """0 at and beyond the border of a face, 1 from `feather` px inside, smooth between."""
    t = np.clip(distance / feather, 0, 1)
    return t * t * (3 - 2 * t)


def octave_amplitudes(face: np.ndarray) -> np.ndarray:
    """How strong the detail of each octave is in an aligned face, RGB uint8 (256, 256, 3): (5,)."""
    window = _window()
    grey = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = (grey * window).sum() / window.sum()
    power = cv2.dct((grey - mean) * window) ** 2
    radius = _radius()
    sums = [power[(radius >= low) & (radius < high)].sum() for low, high in pairwise(OCTAVES)]
    return np.sqrt(sums)


def lacking(face: np.ndarray, resolution: float) -> np.ndarray:
    """How much of each of the last four octaves a face lacks, 0 to 1.

    Once an octave lacks something, finer ones lack no less: what they hold there is noise.

    Args:
        face: RGB uint8, (256, 256, 3), aligned.
        resolution: pixels across the face in the picture that is to be made; what such a picture
            cannot hold is not missed.

    Returns:
        (4,), never falling; 0 says that the face is as sharp as `resolution` allows.
    """
    share = _shares(face) / _held(min(resolution, SIZE))
    return np.maximum.accumulate(np.clip((PRESENT - share) / (PRESENT - LACKING), 0, 1))


def improvable(face: np.ndarray, restored: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of what a face lacks, what `restored` really has: restoring never takes detail away.

    Args:
        face, restored: RGB uint8, (256, 256, 3).
        weights: from `lacking`.

    Returns:
        (4,), the weights, reduced in octaves where `restored` has less than `CLEARLY_BETTER` times
        the face's amplitude, down to 0 where it has no more.
    """
    better = _falling(_shares(restored)) / np.maximum(_falling(_shares(face)), 1e-6)
    return weights * np.clip((better - 1) / (CLEARLY_BETTER - 1), 0, 1)


def missing_detail(face: np.ndarray, restored: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """What to add to a face: octaves of `restored`, in place of what the face has there.

    Args:
        face, restored: RGB uint8, (256, 256, 3).
        weights: of the last four octaves, (4,): 0 keeps the face's, 1 takes that of `restored`.

    Returns:
        float32 (256, 256, 3) in grey levels; it has no part coarser than `COARSEST` px, so that
        light and colour stay the photo's.
    """
    octaves = np.log2([COARSEST, 8, 48, 96, 192])
    values = [0, weights[1], weights[1], weights[2], weights[3]]
    gain = np.interp(np.log2(np.maximum(_radius(), 1)), octaves, values).astype(np.float32)
    difference = restored.astype(np.float32) - face
    return cv2.merge([cv2.idct(cv2.dct(part) * gain) for part in cv2.split(difference)])


def lr_crop(image: np.ndarray, matrix: np.ndarray, lr_size: int) -> np.ndarray:
    """The LR face of a face in a photo, each pixel a mean over an area, as the network learnt it.

    The face is first cut out at about the size it has, in whole multiples of `lr_size`.

    Args:
        image: the photo, RGB uint8 (H, W, 3).
        matrix: (2, 3), from the photo to a face of 256 px.
        lr_size: side of the LR face.
    """
    multiple = int(np.clip(round(frame_size(matrix) / lr_size), 1, SIZE // lr_size))
    side = multiple * lr_size
    crop = warp(image, matrix * (side / SIZE), side)
    return cv2.resize(crop, (lr_size, lr_size), interpolation=cv2.INTER_AREA)


def frame_size(matrix: np.ndarray, side: int = SIZE) -> float:
    """Side, in pixels of the photo, of the square that `matrix` takes to a frame of `side` px."""
    return side / float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def _shares(face: np.ndarray) -> np.ndarray:
    """The amplitudes of the last four octaves of a face, over those of a sharp one, (4,)."""
    first, *rest = octave_amplitudes(face)
    return np.array(rest) / np.maximum(np.array(SHARP_FACES) * first, 1e-6)


def _falling(shares: np.ndarray) -> np.ndarray:
    """Without what rises again towards finer octaves, which is noise."""
    return np.minimum.accumulate(shares)


def _held(resolution: float) -> np.ndarray:
    """The share of each octave's amplitude that `resolution` px hold, relative to 256 px.

    The low pass of a pixel and of the cubic kernel that enlarges it, each about a sinc.
    """
    centres = np.sqrt(np.multiply(OCTAVES[1:-1], OCTAVES[2:]))
    passed = np.sinc(np.minimum(centres / (2 * resolution), 0.9))
    return (passed / np.sinc(centres / (2 * SIZE))) ** 2


@cache
def _radius() -> np.ndarray:
    """Of each coefficient of the cosine transform: the px across a face that can just hold it."""
    index = np.arange(SIZE, dtype=np.float32)
    return np.hypot(index[:, None], index[None])


@cache
def _window() -> np.ndarray:
    edge = fade(np.minimum(np.arange(SIZE) + 0.5, SIZE - 0.5 - np.arange(SIZE)))
    return np.outer(edge, edge).astype(np.float32)
