"""Changes to HR faces before they are used as training targets."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from faceskd.common.errors import ConfigError


class LocalContrast(nn.Module):
    """Change the contrast of shapes of a few pixels in a box: x + change w (G_fine - G_coarse) x.

    G_fine and G_coarse blur with a Gaussian. The window w is 1 in the box, 0 outside it and 0 in
    the spared box. A network that invents texture draws small shapes with full contrast, although a
    32x32 face does not determine where they lie. With less contrast in the targets, the results are
    closer to the person on average (docs/log.md).

    Args:
        box: left, top, right, bottom, in px of an aligned face.
        spared: a box that stays unchanged, such as the eyes, whose irises would become lighter;
            None for none.
        change: relative change of the contrast of the band; -0.4 removes 40 %.
        fine, coarse: standard deviations of the two Gaussians, px.
        feather: width of the soft border of the box, px. The spared box has half of it.
        side: side of the faces, px.

    Raises:
        ConfigError: a change outside [-1, 1], deviations in the wrong order, an empty box, or
            images of another size.
    """

    window: Tensor
    fine: Tensor
    coarse: Tensor

    def __init__(
        self,
        *,
        box: Sequence[int],
        spared: Sequence[int] | None = None,
        change: float = -0.4,
        fine: float = 1.0,
        coarse: float = 3.0,
        feather: float = 20.0,
        side: int = 256,
    ) -> None:
        super().__init__()
        if not -1 <= change <= 1:
            raise ConfigError(f"expected change in [-1, 1], got {change}")
        if not 0 < fine < coarse:
            raise ConfigError(f"expected 0 < fine < coarse, got {fine} and {coarse}")
        window = _window(box, side, feather)
        if spared is not None:
            window = window * (1 - _window(spared, side, feather / 2))
        self.change = change
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("fine", _gaussian(side, fine), persistent=False)
        self.register_buffer("coarse", _gaussian(side, coarse), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Targets (B, 3, H, W) -> changed targets; no gradient."""
        _check_side(images, self.window)
        with torch.autocast(images.device.type, enabled=False):
            x = images.float()
            band = self.fine @ x @ self.fine.T - self.coarse @ x @ self.coarse.T
        return x + self.change * self.window * band


class Darkening(nn.Module):
    """Darken boxes by a constant: used for irises, which pixel losses leave too light.

    Args:
        boxes: each left, top, right, bottom, in px of an aligned face; they must not touch.
        levels: what is subtracted, in [0, 1]: one value, or one each for red, green and blue.
        feather: width of the soft borders, px.
        side: side of the faces, px.

    Raises:
        ConfigError: neither one nor three levels, an empty box, or images of another size.
    """

    shift: Tensor

    def __init__(
        self,
        *,
        boxes: Sequence[Sequence[int]],
        levels: float | Sequence[float],
        feather: float = 6.0,
        side: int = 256,
    ) -> None:
        super().__init__()
        rgb = [levels] * 3 if isinstance(levels, int | float) else [*levels]
        if len(rgb) != 3:
            raise ConfigError(
                f"expected levels as one number, or as red, green and blue, got {rgb}"
            )
        windows = torch.stack([_window(box, side, feather) for box in boxes])
        shift = torch.tensor(rgb, dtype=torch.float)[:, None, None] * windows.amax(0)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Targets (B, 3, H, W) -> darker targets."""
        _check_side(images, self.shift)
        return images - self.shift


def _check_side(images: Tensor, window: Tensor) -> None:
    side, (height, width) = window.shape[-1], images.shape[-2:]
    if (height, width) != (side, side):
        raise ConfigError(f"expected faces of {side}x{side} pixels, got {width}x{height}")


def _window(box: Sequence[int], side: int, feather: float) -> Tensor:
    """Window (side, side): 1 in the box, 0 outside, a half cosine across the border."""
    left, top, right, bottom = box
    if not (left < right and top < bottom):
        raise ConfigError(f"expected a box [left, top, right, bottom], not empty, got {list(box)}")
    centres = torch.arange(side) + 0.5
    ramps = [
        (torch.minimum(centres - low, high - centres) / feather + 0.5).clamp(0, 1)
        for low, high in ((top, bottom), (left, right))
    ]
    rows, columns = (0.5 - 0.5 * torch.cos(torch.pi * ramp) for ramp in ramps)
    return rows[:, None] * columns


def _gaussian(side: int, deviation: float) -> Tensor:
    """Matrix (side, side) that blurs with a Gaussian; each row sums to 1, at borders, too.

    At this size two matrix products are faster than two convolutions with long kernels.
    """
    places = torch.arange(side)
    kernel = torch.exp(-(((places[:, None] - places) / deviation) ** 2) / 2)
    return kernel / kernel.sum(1, keepdim=True)
