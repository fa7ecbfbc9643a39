"""Measure how much detail sharp faces have in each octave (`faceskd.restore.octaves.SHARP_FACES`).

    python tools/measure_octaves.py FACES/train

FACES is a folder that `faceskd prepare` wrote. Its photos must be sharp, with faces of at least
256 px.
"""

import sys

import numpy as np

from faceskd.common.images import read_image
from faceskd.common.listing import list_images
from faceskd.restore.octaves import OCTAVES, octave_amplitudes

PERCENTILES = (1, 5, 50, 95, 99)


def main(folder: str) -> None:
    """Print percentiles of the amplitude of each octave, divided by that of the first octave."""
    amplitudes = np.array([octave_amplitudes(read_image(path)) for path in list_images(folder)])
    ratios = amplitudes[:, 1:] / amplitudes[:, :1]
    print(f"{len(ratios)} faces; percentiles {PERCENTILES}")
    for low, high, values in zip(OCTAVES[1:], OCTAVES[2:], ratios.T, strict=False):
        print(f"{low:3d} to {high:3d} px:", *np.percentile(values, PERCENTILES).round(3))


if __name__ == "__main__":
    main(*sys.argv[1:])
