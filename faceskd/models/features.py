"""Description of a feature map: channels and stride."""

from typing import NamedTuple


class FeatureInfo(NamedTuple):
    """Channels and stride of a feature map.

    Attributes:
        channels: number of channels.
        stride: pixels of the SR image per cell. The side of the map is that of the SR image divided
            by `stride`, rounded up. At x8, a stride of 8 is the resolution of the LR image.
    """

    channels: int
    stride: int
