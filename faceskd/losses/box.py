"""A loss on one part of aligned faces."""

from collections.abc import Sequence

from torch import Tensor, nn

from faceskd.common.errors import ConfigError


class InBox(nn.Module):
    """Applies a loss to the same box of both images (B, 3, H, W), for example to the eyes.

    Args:
        box: left, top, right, bottom, in px of an aligned face.
        loss: module from two images to a scalar.
        side: side of the whole aligned faces that the box is for, in px.

    Raises:
        ConfigError: the box is empty or not inside the face, or images are of another size: on
            larger faces or windows of them, another part would be in the box.
    """

    def __init__(self, *, box: Sequence[int], loss: nn.Module, side: int = 256) -> None:
        super().__init__()
        left, top, right, bottom = box
        if not (0 <= left < right <= side and 0 <= top < bottom <= side):
            raise ConfigError(
                "expected a box [left, top, right, bottom], not empty, inside a face of "
                f"{side}x{side} pixels, got {list(box)}"
            )
        self.box = left, top, right, bottom
        self.side = side
        self.loss = loss

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        left, top, right, bottom = self.box
        if hr.shape[-2:] != (self.side, self.side):
            raise ConfigError(
                f"expected whole faces of {self.side}x{self.side} pixels, which the box "
                f"{list(self.box)} is for, got {hr.shape[-1]}x{hr.shape[-2]}: leave this loss out, "
                "or give its box and side for these faces"
            )
        return self.loss(*(image[..., top:bottom, left:right] for image in (sr, hr)))
