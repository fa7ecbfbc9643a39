"""What is known of a feature map before it is made."""

from typing import NamedTuple


class FeatureInfo(NamedTuple):
    """Channels and stride of a feature map.

    Attributes:
        channels: its channels.
        stride: pixels of the SR image that one of its cells spans, so that its side is the SR
            image's side over `stride`, rounded up; 8 is the LR image's own resolution at x8.
    """

    channels: int
    stride: int
