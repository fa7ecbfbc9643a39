"""Interpolation as a network without parameters: the simplest baseline.

Each mode is a fixed kernel, applied along rows and columns by matrix products. Weights are
normalised at the borders. All four modes give the same values as Pillow. In particular, bicubic
uses a = -0.5 (Keys, 1981; also MATLAB), whereas OpenCV and `torch.nn.functional.interpolate` use
-0.75.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from faceskd.common.checks import check_choice
from faceskd.models.base import SuperResolver

LANCZOS_LOBES = 3
CUBIC_A = -0.5


def _box(x: Tensor) -> Tensor:
    return (x.abs() < 0.5).to(x)


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: Tensor) -> Tensor:
    x, a = x.abs(), CUBIC_A
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def _lanczos(x: Tensor) -> Tensor:
    window = torch.sinc(x / LANCZOS_LOBES)
    return torch.where(x.abs() < LANCZOS_LOBES, torch.sinc(x) * window, torch.zeros_like(x))


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {
    "nearest": _box,
    "bilinear": _triangle,
    "bicubic": _cubic,
    "lanczos": _lanczos,
}


def enlarging_matrix(size: int, scale: int, mode: str) -> Tensor:
    """The matrix (scale * size, size) that enlarges a signal; float32, each row sums to 1."""
    targets = (torch.arange(size * scale, dtype=torch.float64) + 0.5) / scale
    sources = torch.arange(size, dtype=torch.float64) + 0.5
    weights = KERNELS[mode](targets[:, None] - sources[None, :])
    return (weights / weights.sum(dim=1, keepdim=True)).float()


class Interpolation(SuperResolver):
    """Nearest, bilinear, bicubic or Lanczos enlargement. It has no feature maps.

    Args:
        mode: "nearest", "bilinear", "bicubic" or "lanczos" (three lobes).

    Raises:
        ConfigError: the mode is none of these.

    Examples:
        >>> Interpolation(mode="lanczos")(torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 3, 256, 256])
    """

    def __init__(self, *, mode: str = "bicubic") -> None:
        super().__init__()
        check_choice(KERNELS, mode=mode)
        self.mode = mode
        self.feature_info = []

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        rows = enlarging_matrix(lr.shape[-2], self.scale, self.mode).to(lr)
        columns = enlarging_matrix(lr.shape[-1], self.scale, self.mode).to(lr)
        return rows @ lr @ columns.T, []
