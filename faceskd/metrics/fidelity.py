"""Fidelity to the HR image: PSNR, SSIM and MS-SSIM of each image, on RGB or on luma."""

from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from faceskd.metrics.base import ImageMetric, MetricUnavailable

PSNR_CEILING = 100.0
"""dB. For comparison: two 8-bit 256x256 RGB images that differ by 1 in two values have 98 dB."""

_WINDOW_RADIUS = 5  # of the 11x11 Gaussian window of SSIM
_MS_SSIM_LEAST_SIDE = 176  # five scales, and an 11x11 window at the last


def luma(image: Tensor) -> Tensor:
    """BT.601 luma of RGB in [0, 1], (B, 3, H, W) -> (B, 1, H, W), in [16/255, 235/255].

    Y = (16 + 65.481 R + 128.553 G + 24.966 B) / 255. This is MATLAB's `rgb2ycbcr`, on which papers
    report their Y figures.

    Examples:
        >>> import torch
        >>> luma(torch.ones(1, 3, 1, 1)).mul(255).round().item()
        235.0
    """
    weights = image.new_tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)
    return ((image * weights).sum(1, keepdim=True) + 16) / 255


def psnr(sr: Tensor, hr: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image in dB, 10 log10(1 / MSE), (B, C, H, W) -> (B,).

    The value is limited to 100 dB, because identical images would make every mean infinite.

    Examples:
        >>> import torch
        >>> psnr(torch.zeros(1, 3, 8, 8), torch.full((1, 3, 8, 8), 0.1))
        tensor([20.])
    """
    value = peak_signal_noise_ratio(sr, hr, data_range=1.0, reduction="none", dim=(1, 2, 3))
    return value.clamp(max=PSNR_CEILING)


def ssim(sr: Tensor, hr: Tensor) -> Tensor:
    """Structural similarity of each image (Wang et al., 2004), (B, C, H, W) -> (B,), at most 1.

    An 11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03. The mean is over channels and over
    the positions where the window lies inside the image, as in the authors' code. torchmetrics'
    mean includes reflected borders, which changes the value by 0.01 at 256x256.
    """
    _, similarity = structural_similarity_index_measure(
        sr, hr, data_range=1.0, reduction="none", return_full_image=True
    )
    inside = slice(_WINDOW_RADIUS, -_WINDOW_RADIUS)
    return similarity[..., inside, inside].mean((1, 2, 3))


def ms_ssim(sr: Tensor, hr: Tensor) -> Tensor:
    """SSIM over five scales of each image (Wang et al., 2003), (B, C, H, W) -> (B,), at most 1.

    Raises:
        MetricUnavailable: a side is under 176 pixels: the window would not fit into the last scale.
    """
    if min(hr.shape[-2:]) < _MS_SSIM_LEAST_SIDE:
        raise MetricUnavailable(
            f"ms_ssim expects images of at least {_MS_SSIM_LEAST_SIDE} pixels a side, "
            f"got {hr.shape[-1]}x{hr.shape[-2]}"
        )
    # torchmetrics gives a scalar for a batch of one
    return multiscale_structural_similarity_index_measure(
        sr, hr, data_range=1.0, reduction="none"
    ).reshape(-1)


class Fidelity(ImageMetric):
    """One of `FIDELITY`, on RGB, or on luma with the suffix `_y`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._on_luma = name.endswith("_y")
        self._measure = FIDELITY[name.removesuffix("_y")]

    def per_image(self, sr: Tensor, hr: Tensor, landmarks: Tensor | None) -> Tensor:
        if self._on_luma:
            sr, hr = luma(sr), luma(hr)
        return self._measure(sr, hr)


FIDELITY = {"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim}
FIDELITY_NAMES = (*FIDELITY, *(f"{name}_y" for name in FIDELITY))
