"""A loss that looks at one part of aligned faces."""

from collections.abc import Sequence

from torch import Tensor, nn

from faceskd.common.errors import ConfigError


class InBox(nn.Module):
    """loss(sr, hr) of the same box of both images (B, 3, H, W): eyes, say, or the inner face.

    Args:
        box: left, top, right, bottom, px of an aligned face.
        loss: from two images to a scalar.

    Raises:
        ConfigError: the box is empty, or images do not hold it.
    """

    def __init__(self, *, box: Sequence[int], loss: nn.Module) -> None:
        super().__init__()
        left, top, right, bottom = box
        if not (0 <= left < right and 0 <= top < bottom):
            raise ConfigError(f"expected a box left, top, right, bottom, got {list(box)}")
        self.box = left, top, right, bottom
        self.loss = loss

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        left, top, right, bottom = self.box
        if hr.shape[-1] < right or hr.shape[-2] < bottom:
            raise ConfigError(
                f"expected images that hold the box {list(self.box)}, got "
                f"{hr.shape[-1]}x{hr.shape[-2]} pixels"
            )
        return self.loss(*(image[..., top:bottom, left:right] for image in (sr, hr)))
