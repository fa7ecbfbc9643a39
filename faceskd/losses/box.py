"""A loss on one part of aligned faces."""

from collections.abc import Sequence

from torch import Tensor, nn

from faceskd.common.errors import ConfigError


class InBox(nn.Module):
    """Applies a loss to the same box of both images (B, 3, H, W), for example to the eyes.

    Args:
        box: left, top, right, bottom, in px of an aligned face.
        loss: module from two images to a scalar.

    Raises:
        ConfigError: the box is empty, or it does not lie inside the images.
    """

    def __init__(self, *, box: Sequence[int], loss: nn.Module) -> None:
        super().__init__()
        left, top, right, bottom = box
        if not (0 <= left < right and 0 <= top < bottom):
            raise ConfigError(
                f"expected a box [left, top, right, bottom], not empty, got {list(box)}"
            )
        self.box = left, top, right, bottom
        self.loss = loss

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        left, top, right, bottom = self.box
        if hr.shape[-1] < right or hr.shape[-2] < bottom:
            raise ConfigError(
                f"expected images that contain the box {list(self.box)}, got "
                f"{hr.shape[-1]}x{hr.shape[-2]} pixels"
            )
        return self.loss(*(image[..., top:bottom, left:right] for image in (sr, hr)))
