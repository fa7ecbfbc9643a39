"""What is done to HR faces before networks are held to them, so that they are right on average."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from faceskd.common.errors import ConfigError


class LocalContrast(nn.Module):
    """Contrast of a band of scales, changed in a box: x + change w (G_fine - G_coarse) x.

    A network that invents texture also draws shapes with full contrast, though 32x32 pixels do not
    say where they lie. Targets with less contrast in shapes a few pixels wide are nearer to the
    person on average. w is 1 in the box and 0 around it and in the spared box. G convolves with a
    Gaussian.

    Args:
        box: left, top, right, bottom, px of an aligned face.
        spared: a box that is left as it is: eyes, for irises are dark; or None.
        change: of the band's contrast, relative: -0.4 takes two fifths of it away.
        fine, coarse: the Gaussians' standard deviations, px.
        feather: width of the borders of the box, px; of the spared one, half.
        side: of the faces, px.

    Raises:
        ConfigError: a change outside [-1, 1], deviations in the wrong order, an empty box, or
            images of another side.
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
            raise ConfigError(f"expected a change in [-1, 1], got {change}")
        if not 0 < fine < coarse:
            raise ConfigError(f"expected deviations 0 < fine < coarse, got {fine} and {coarse}")
        window = _window(box, side, feather)
        if spared is not None:
            window = window * (1 - _window(spared, side, feather / 2))
        self.change = change
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("fine", _gaussian(side, fine), persistent=False)
        self.register_buffer("coarse", _gaussian(side, coarse), persistent=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Targets (B, 3, H, W) in, targets out; no gradient."""
        _check_side(images, self.window)
        with torch.autocast(images.device.type, enabled=False):
            x = images.float()
            band = self.fine @ x @ self.fine.T - self.coarse @ x @ self.coarse.T
        return x + self.change * self.window * band


class Darkening(nn.Module):
    """The same levels less in boxes: irises, that every loss of pixels leaves too light.

    Args:
        boxes: each left, top, right, bottom, px of an aligned face; none touches another.
        levels: how much darker, of 1; of three, red, green and blue, for colours that are off.
        feather: width of their borders, px.
        side: of the faces, px.

    Raises:
        ConfigError: neither one nor three levels, an empty box, or images of another side.
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
            raise ConfigError(f"expected levels of red, green and blue, or one, got {rgb}")
        windows = torch.stack([_window(box, side, feather) for box in boxes])
        shift = torch.tensor(rgb, dtype=torch.float)[:, None, None] * windows.amax(0)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Targets (B, 3, H, W) in, targets out."""
        _check_side(images, self.shift)
        return images - self.shift


def _check_side(images: Tensor, window: Tensor) -> None:
    side, (height, width) = window.shape[-1], images.shape[-2:]
    if (height, width) != (side, side):
        raise ConfigError(f"expected faces of {side} px, got {width}x{height} pixels")


def _window(box: Sequence[int], side: int, feather: float) -> Tensor:
    """1 in the box and 0 around it, (side, side); half a cosine between, centred on the border."""
    left, top, right, bottom = box
    if not (left < right and top < bottom):
        raise ConfigError(f"expected a box left, top, right, bottom, got {list(box)}")
    centres = torch.arange(side) + 0.5
    ramps = [
        (torch.minimum(centres - low, high - centres) / feather + 0.5).clamp(0, 1)
        for low, high in ((top, bottom), (left, right))
    ]
    rows, columns = (0.5 - 0.5 * torch.cos(torch.pi * ramp) for ramp in ramps)
    return rows[:, None] * columns


def _gaussian(side: int, deviation: float) -> Tensor:
    """The matrix (side, side) that convolves with a Gaussian; at borders its rows still sum to 1.

    At these sizes two products of matrices are faster than two convolutions with long kernels.
    """
    places = torch.arange(side)
    kernel = torch.exp(-(((places[:, None] - places) / deviation) ** 2) / 2)
    return kernel / kernel.sum(1, keepdim=True)
