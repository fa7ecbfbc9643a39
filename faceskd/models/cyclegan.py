"""The generator of CycleGAN: a picture of one domain becomes one of another, such as day to night.

Zhu, Park, Isola and Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks", ICCV 2017, arXiv 1703.10593. In the notation of its appendix: c7s1-64, d128, d256,
R256 (6 or 9 of them), u128, u64, c7s1-3, with instance norm and reflected borders.

Changed: u128 and u64 are bilinear enlargements followed by 3x3 convolutions. The paper's
transposed convolutions can leave a regular pattern of pixels. Convolutions before an instance norm
have no bias, because the norm removes it. 11.4 M parameters with 9 blocks.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.models.base import TRANSLATIONS, FeatureInfo, SuperResolver
from faceskd.models.blocks import upsample
from faceskd.models.initial import normal_weights

STRIDE = 4
TRANSLATION = "translation"
"""Key of the metadata of weights that translate pictures: "a to b" or "b to a"."""
SMALLEST = 8
"""Smaller sides are padded to this, in px: then maps at 1/4 have two cells to reflect."""


def _normed(channels: int, out: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    """Convolution with reflected borders, then instance norm."""
    padding = kernel // 2
    conv = nn.Conv2d(channels, out, kernel, stride, padding, padding_mode="reflect", bias=False)
    return nn.Sequential(conv, nn.InstanceNorm2d(out))


class InstanceResidualBlock(nn.Module):
    """R256: x + norm(conv(ReLU(norm(conv(x))))); maps (B, C, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _normed(channels, channels, 3), nn.ReLU(inplace=True), _normed(channels, channels, 3)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class CycleGenerator(SuperResolver):
    """A network of scale 1: RGB float in [0, 1], (B, 3, H, W) -> (B, 3, H, W), of any size.

    The result lies in [0, 1], because the last layer is tanh. Instance norm uses the mean of the
    whole picture, so a picture must not be cut into tiles.

    Args:
        width: channels of the first convolution: 64 in the paper.
        blocks: residual blocks: 9 for pictures of 256 px, 6 for 128 px in the paper.

    Features: the last residual block at stride 4, then the map after each enlargement.

    Example:
        >>> net = CycleGenerator(width=8, blocks=1)
        >>> image, features = net.forward_features(torch.rand(1, 3, 30, 64))
        >>> tuple(image.shape), [tuple(f.shape[1:]) for f in features]
        ((1, 3, 30, 64), [(32, 8, 16), (16, 16, 32), (8, 32, 64)])
    """

    scale = 1
    purpose = TRANSLATIONS
    size = 256

    def __init__(self, *, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        wide, deep = 2 * width, 4 * width
        self.entry = nn.Sequential(
            _normed(3, width, 7),
            nn.ReLU(inplace=True),
            _normed(width, wide, 3, stride=2),
            nn.ReLU(inplace=True),
            _normed(wide, deep, 3, stride=2),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(*(InstanceResidualBlock(deep) for _ in range(blocks)))
        self.enlarge = nn.ModuleList((_normed(deep, wide, 3), _normed(wide, width, 3)))
        self.head = nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect")
        self.feature_info = [FeatureInfo(deep, 4), FeatureInfo(wide, 2), FeatureInfo(width, 1)]
        normal_weights(self)

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        height, width = lr.shape[-2:]
        below, right = (max(side + -side % STRIDE, SMALLEST) - side for side in (height, width))
        x = F.pad(2 * lr - 1, (0, right, 0, below), mode="replicate")
        features = [self.blocks(self.entry(x))]
        for layer in self.enlarge:
            features.append(torch.relu(layer(upsample(features[-1]))))
        image = (torch.tanh(self.head(features[-1]).to(lr.dtype)) + 1) / 2
        return image[..., :height, :width], features
