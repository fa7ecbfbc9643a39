"""A light network for what is no face in a photo: the background.

Ours. The photo is enlarged first, by anything from 1 to 4, and the network improves it at that size
(scale 1). So one network serves every scale. All the work is done at a quarter of the size: pixel-
unshuffle, residual blocks, and two enlargements without a grid
(`faceskd.models.blocks.UpsampledKernel`). What comes out is added to the input.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.models.base import PICTURES, FeatureInfo
from faceskd.models.blocks import shrink
from faceskd.models.lite import ACTIVATIONS, LiteBlock, enlarging_conv, plain_conv
from faceskd.models.residual import ResidualNet

# With ReLU all channels die in the first steps at a learning rate of 1e-3 (docs/log.md).
_leaky = ACTIVATIONS["leaky_relu"]


class SceneNet(ResidualNet):
    """A network of scale 1: RGB float in [0, 1], (B, 3, H, W) -> (B, 3, H, W), of any size.

    Args:
        width: channels at 1/4 of the size.
        blocks: residual blocks at 1/4 of the size; each sees 8 px further on every side.
        narrow: channels at 1/2 of the size.
        reparameterised: over-parametrise the 3x3 convolutions in training (see
            `faceskd.models.lite`).

    Example:
        >>> import torch
        >>> net = SceneNet(width=8, blocks=1, narrow=8)
        >>> sr, features = net.forward_features(torch.rand(1, 3, 30, 64))
        >>> tuple(sr.shape), [tuple(f.shape[1:]) for f in features]
        ((1, 3, 30, 64), [(8, 8, 16), (8, 16, 32), (8, 32, 64)])
    """

    scale = 1
    purpose = PICTURES
    size = 256
    stride = 4

    def __init__(
        self,
        *,
        width: int = 48,
        blocks: int = 4,
        narrow: int = 16,
        reparameterised: bool = True,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"reparameterised": reparameterised}
        self.entry = plain_conv(3 * self.stride**2, width, **options)
        self.body = nn.Sequential(
            *(
                LiteBlock(width, kind="residual", activation="leaky_relu", **options)
                for _ in range(blocks)
            )
        )
        self.enlarge = enlarging_conv(width, narrow, "detailed", **options)
        self.head = enlarging_conv(narrow, 3, "detailed", reparameterised=False)
        shrink(self.head)
        self.feature_info = [FeatureInfo(width, 4), FeatureInfo(narrow, 2), FeatureInfo(narrow, 1)]

    def _maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        x = _leaky(self.entry(F.pixel_unshuffle(x, self.stride)))
        deep = x + self.body(x)
        wide = _leaky(self.enlarge(deep))
        return [deep, wide], wide
