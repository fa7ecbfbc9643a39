"""Degradation of RealSR: blur and noise of real photos, and nothing else.

Ji et al., "Real-World Super-Resolution via Kernel Estimation and Noise Injection", CVPR 2020
workshops, eq. 1 and 7. Kernels and noise come from the pools of `faceskd pools`.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from faceskd.common.errors import ConfigError
from faceskd.data.photo_degradation import tiled_noise, to_levels
from faceskd.data.pools import Pools


@dataclass(frozen=True)
class RealSRDegradation:
    """Photos, uint8 RGB (N, N, 3) -> degraded ones (N / scale, N / scale, 3).

    The photo is reduced by area averaging, and blurred by a kernel of the pools, which is in px of
    the reduced photo. Then noise of the pools is added.

    Attributes:
        pools: file of `faceskd pools`.
        scale: how much smaller the result is along each side.

    Raises:
        ConfigError: the scale is below 1, or the pools have no kernels or no noise.
    """

    pools: Path | str
    scale: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.scale, int) or self.scale < 1:
            raise ConfigError(f"expected a scale of at least 1, got {self.scale!r}")

    @cached_property
    def _pools(self) -> Pools:
        pools = Pools.load(self.pools)
        if not (len(pools.kernels) and len(pools.noise)):
            raise ConfigError(
                f"expected pools with kernels and noise, got {len(pools.kernels)} kernels and "
                f"{len(pools.noise)} patches of noise in {str(self.pools)!r}: make them from more "
                "photos"
            )
        return pools

    def __call__(self, hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        side = hr.shape[0] // self.scale
        image = cv2.resize(hr.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        kernel = self._pools.kernels[rng.integers(len(self._pools.kernels))]
        image = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        noise = self._pools.noise[rng.integers(len(self._pools.noise))]
        return to_levels(image + tiled_noise(noise.astype(np.float32), side, rng))
