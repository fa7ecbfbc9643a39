"""HiFaceGAN's generator: an encoder that suppresses degradations, a decoder that adds detail.

Yang, Liu, Wang, Wang, Ren, Ma, Gao, "HiFaceGAN: Face Renovation via Collaborative Suppression
and Replenishment", ACM Multimedia 2020, arXiv 2005.05005. Its encoder pools by learned
importance (Gao, Wang, Wu, "LIP: Local Importance-based Pooling", ICCV 2019, arXiv 1908.04156);
its decoder is modulated by the encoder's maps (Park, Liu, Wang, Zhu, "Semantic Image Synthesis
with Spatially-Adaptive Normalization", CVPR 2019, arXiv 1903.07291).

The paper restores images without enlarging them. For super-resolution its authors first enlarge the
LR image bicubically, as we do here. Where the paper gives no details, we chose: the decoder starts
from a convolution of the image at the coarsest size, as SPADE does; normalisation uses instance
statistics, so that an image does not depend on its batch; the encoder's convolutions have no
normalisation, because their maps must keep the colour that the decoder's normalisation removes.
130.6 M parameters at `width` 64.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from faceskd.models.base import FeatureInfo, SuperResolver
from faceskd.models.blocks import SLOPE, bicubic, conv3x3

AMPLIFICATION = 12.0
"""The ratio of two importances is at most exp(12): LIP's bound, for numerical stability."""

ENCODER_WIDTHS = (1, 2, 4, 8, 16, 16)
"""Channels of the encoder's maps at strides 1, 2, 4, 8, 16 and 32, in units of `width`."""

DECODER_STAGES = (
    (16, 16, 32),
    (16, 16, 16),
    (16, 16, 16),
    (16, 8, 8),
    (8, 4, 4),
    (4, 2, 2),
    (2, 1, 1),
)
"""Channels in and out, in units of `width`, and stride of every block of the decoder."""


def importance_pool(x: Tensor, logits: Tensor) -> Tensor:
    """Weighted mean over 3x3 windows at stride 2; the weights are exp(logits).

    LIP's definition: sum(x exp(logits)) / sum(exp(logits)), per channel.

    Args:
        x: maps (B, C, H, W).
        logits: log importance of each value, of the same shape.

    Returns:
        Maps (B, C, ceil(H / 2), ceil(W / 2)).
    """
    importance = logits.exp()
    pooled = F.avg_pool2d(x * importance, 3, stride=2, padding=1)
    return pooled / F.avg_pool2d(importance, 3, stride=2, padding=1)


class ImportancePool(nn.Module):
    """Local importance-based pooling: a small network computes the weights.

    logits = 12 (sigmoid(IN(conv(x))) - 1/2). The 1/2 cancels in the weighted mean; it keeps the
    exponential in the range of half precision.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.judge = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels, affine=True),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return importance_pool(x, AMPLIFICATION * (self.judge(x) - 0.5))


class SPADE(nn.Module):
    """IN(x) * (1 + gamma) + beta; convolutions of the guide give gamma and beta for each pixel.

    Args:
        channels: channels of x.
        guide_channels: channels of the guide, which has the same size as x.
        hidden: channels of the convolution that gamma and beta share.
    """

    def __init__(self, channels: int, guide_channels: int, hidden: int) -> None:
        super().__init__()
        hidden = min(hidden, channels)
        self.norm = nn.InstanceNorm2d(channels)
        self.shared = nn.Sequential(conv3x3(guide_channels, hidden), nn.ReLU(inplace=True))
        self.gamma = conv3x3(hidden, channels)
        self.beta = conv3x3(hidden, channels)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        hidden = self.shared(guide)
        return self.norm(x) * (1 + self.gamma(hidden)) + self.beta(hidden)


class SPADEBlock(nn.Module):
    """A residual block with SPADE normalisation and spectrally normalised convolutions."""

    def __init__(self, channels: int, out: int, guide_channels: int, hidden: int) -> None:
        super().__init__()
        middle = min(channels, out)
        self.norm1 = SPADE(channels, guide_channels, hidden)
        self.conv1 = conv3x3(channels, middle, spectral=True)
        self.norm2 = SPADE(middle, guide_channels, hidden)
        self.conv2 = conv3x3(middle, out, spectral=True)
        self.resized = channels != out
        if self.resized:
            self.skip_norm = SPADE(channels, guide_channels, hidden)
            self.skip = spectral_norm(nn.Conv2d(channels, out, 1, bias=False))

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        skip = self.skip(self.skip_norm(x, guide)) if self.resized else x
        x = self.conv1(F.leaky_relu(self.norm1(x, guide), SLOPE))
        return skip + self.conv2(F.leaky_relu(self.norm2(x, guide), SLOPE))


class SuppressionEncoder(nn.Module):
    """Image (B, 3, H, W) -> maps at strides 1, 2, 4, 8, 16, 32, pooled by importance."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [units * width for units in ENCODER_WIDTHS]
        self.entry = nn.Sequential(conv3x3(3, widths[0]), nn.LeakyReLU(SLOPE))
        self.downs = nn.ModuleList(
            nn.Sequential(ImportancePool(channels), conv3x3(channels, out), nn.LeakyReLU(SLOPE))
            for channels, out in pairwise(widths)
        )

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """A dict from stride to map."""
        maps = {1: self.entry(image)}
        for level, down in enumerate(self.downs):
            maps[2 ** (level + 1)] = down(maps[2**level])
        return maps


class HiFaceGAN(SuperResolver):
    """Encoder with learned-importance pooling to 8x8 (for 256x256), decoder of SPADE blocks.

    Any LR size is accepted. The last rows and columns are repeated until the sides are multiples of
    4 and at least 8.

    Args:
        width: channels at SR resolution (ngf).
        spade_width: channels of the convolution inside a SPADE.

    Features: the decoder's map at each stride from 32 to 1.
    """

    def __init__(self, *, width: int = 64, spade_width: int = 128) -> None:
        super().__init__()
        guides = {2**level: units * width for level, units in enumerate(ENCODER_WIDTHS)}
        outputs = {stride: out * width for _, out, stride in DECODER_STAGES}
        self.feature_info = [FeatureInfo(out, stride) for stride, out in outputs.items()]
        self.encoder = SuppressionEncoder(width)
        self.seed = conv3x3(3, DECODER_STAGES[0][0] * width)
        self.blocks = nn.ModuleList(
            SPADEBlock(channels * width, out * width, guides[stride], spade_width)
            for channels, out, stride in DECODER_STAGES
        )
        self.tail = conv3x3(width, 3)

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        height, width = lr.shape[-2:]
        lr = 2 * _pad(lr) - 1
        guides = self.encoder(bicubic(lr, self.scale))
        maps: dict[int, Tensor] = {}
        x, previous = self.seed(F.avg_pool2d(lr, 4)), DECODER_STAGES[0][2]
        for block, (_, _, stride) in zip(self.blocks, DECODER_STAGES, strict=True):
            if stride != previous:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = maps[stride] = block(x, guides[stride])
            previous = stride
        image = torch.tanh(self.tail(F.leaky_relu(x, SLOPE)))
        size = (self.scale * height, self.scale * width)
        features = [_crop(features, size, stride) for stride, features in maps.items()]
        return (_crop(image, size, 1) + 1) / 2, features


def _pad(lr: Tensor) -> Tensor:
    """Repeat the last row and column until the sides are multiples of 4 and at least 8."""
    missing = [max(-side % 4, 8 - side) for side in lr.shape[-2:]]
    return F.pad(lr, (0, missing[1], 0, missing[0]), mode="replicate") if any(missing) else lr


def _crop(x: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    height, width = (-(-side // stride) for side in size)
    return x[..., :height, :width]
