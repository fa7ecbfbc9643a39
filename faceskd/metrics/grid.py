"""Grid index: strength of the regular pattern of upsampling, which LPIPS does not penalise."""

import torch
from torch import Tensor

from faceskd.common.images import luminance
from faceskd.metrics.base import Accumulator, MetricUnavailable, SetMetric

PERIOD = 8
_RADIUS = 4  # of the neighbourhood: 9x9 bins
_INNER = 1  # of its hole: 3x3 bins


def power_spectrum(images: Tensor) -> Tensor:
    """Sum of the 2-D power spectra of the grey images (BT.601): (B, 3, H, W) -> (H, W), float64."""
    return torch.fft.fft2(luminance(images).double()).abs().square().sum((0, 1))


def grid_index(spectrum: Tensor) -> float:
    """How strongly the frequencies of an 8-pixel pattern stand out in a power spectrum (H, W).

    For each frequency (u/8, v/8) cycles per pixel, with u and v from -4 to 4 and max(|u|, |v|) >=
    2, the power is divided by the median of the 9x9 bins around it without the inner 3x3. The index
    is the geometric mean of these ratios. Photographs have about 1.3, a visible pattern tens to
    hundreds. Images of repeated pixels have 0, because their spectrum is zero at these frequencies.

    Raises:
        MetricUnavailable: a side of the spectrum is not a multiple of 8, or is below 64.
    """
    height, width = spectrum.shape
    if height % PERIOD or width % PERIOD or min(height, width) < 64:
        raise MetricUnavailable(
            f"the grid index expects images whose sides are multiples of {PERIOD}, at least 64; "
            f"got {width}x{height}"
        )
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, device=spectrum.device)
    around = torch.maximum(offsets[:, None].abs(), offsets[None].abs()) > _INNER
    logs = []
    half = PERIOD // 2
    for v in range(-half, half + 1):
        for u in range(-half, half + 1):
            if max(abs(u), abs(v)) < 2:
                continue
            rows = (v * height // PERIOD + offsets) % height
            columns = (u * width // PERIOD + offsets) % width
            bins = spectrum[rows[:, None], columns[None]]
            tiny = torch.finfo(bins.dtype).tiny  # flat images have no power at all
            median = bins[around].quantile(0.5).clamp(min=tiny)
            logs.append((bins[_RADIUS, _RADIUS].clamp(min=tiny) / median).log())
    return torch.stack(logs).mean().exp().item()


class GridIndex(SetMetric):
    """`grid_index` of the SR images. The closer to the value of the HR images, the better."""

    name = "grid_index"
    better = "reference"

    def start(self) -> Accumulator:
        return _Spectrum()


class _Spectrum(Accumulator):
    def __init__(self) -> None:
        self._power: Tensor | None = None
        self._count = 0

    def add(self, sr: Tensor, hr: Tensor) -> None:
        power = power_spectrum(sr)
        self._power = power if self._power is None else self._power + power
        self._count += len(sr)

    def compute(self) -> float:
        assert self._power is not None
        return grid_index(self._power / self._count)
