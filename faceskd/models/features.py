"""Description of a feature map: channels and stride."""

from typing import NamedTuple


class FeatureInfo(NamedTuple):
    """Channels and stride of a feature map.

    Attributes:
        channels: number of channels.
        stride: pixels of the SR image per cell. At x8, a stride of 8 is the resolution of the LR
            image. The side of a map is that of the SR image divided by `stride`, rounded up; a
            network that pads its input (`ResidualNet`) has maps of the padded image, which may be
            larger.
    """

    channels: int
    stride: int
