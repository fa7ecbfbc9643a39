"""The one contract of every network: teacher, student and baselines are exchangeable."""

from abc import abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class FeatureInfo(NamedTuple):
    """What is known of a feature map before it is made.

    Attributes:
        channels: its channels.
        stride: pixels of the SR image that one of its cells spans, so that its side is the SR
            image's side over `stride`, rounded up; 8 is the LR image's own resolution at x8.
    """

    channels: int
    stride: int


class SuperResolver(nn.Module):
    """A network from LR to SR faces: RGB float in [0, 1], (B, 3, H, W) -> (B, 3, 8H, 8W).

    A network normalises inside itself and takes keywords only in its constructor. The SR image
    is not clamped: losses need its gradient outside [0, 1], and writers clamp.

    Attributes:
        scale: SR pixels for one LR pixel, along each side.
        feature_info: one entry for each feature map of `forward_features`, in its order.
        needs_boxes: whether `boxes`, the component boxes (B, 4, 4), xyxy in SR pixels, in the
            order of `faceskd.faces.components.COMPONENTS`, must be given.
    """

    scale: int = 8
    feature_info: list[FeatureInfo]
    needs_boxes: bool = False

    def forward(self, lr: Tensor, boxes: Tensor | None = None) -> Tensor:
        """The SR images (B, 3, 8H, 8W) of the LR images (B, 3, H, W)."""
        return self.forward_features(lr, boxes)[0]

    @abstractmethod
    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The SR images, and the feature maps that `feature_info` describes."""
