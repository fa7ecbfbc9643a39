"""A decoder that learns faster than DFDNet's: residual blocks on the LR face, modulated by SFT.

This decoder is our own. DFDNet's decoder starts from features of the enlarged face and uses
convolutions with spectral norm. A plain residual network on the LR face, with a tenth of the
parameters, was as good after the same training time. So this decoder is such a residual network,
and the condition F_hat (encoder or dictionary features) modulates it at four scales, as in eq. 2
of Jo et al. 2021:

    F_up = up(conv(F) * (1 + scale(F_hat)) + shift(F_hat))

Scale and shift start near zero. So the network starts as a plain residual network and then learns
to use F_hat.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.models.base import FeatureInfo
from faceskd.models.blocks import SLOPE, ResidualBlock, conv3x3, shrink, upsample, upsampled_conv
from faceskd.models.decoder import STAGE_STRIDES, check_strides


class Modulation(nn.Module):
    """conv(x) * (1 + scale(condition)) + shift(condition); x and condition have the same size."""

    def __init__(self, channels: int, condition: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels)
        self.scale = conv3x3(condition, channels)
        self.shift = conv3x3(condition, channels)
        shrink(self.scale)
        shrink(self.shift)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.conv(x) * (1 + self.scale(condition)) + self.shift(condition)


class ResidualStage(nn.Module):
    """One stage: map (B, C, H, W) and condition (B, D, H, W) -> (B, C_out, 2H, 2W)."""

    def __init__(self, channels: int, condition: int, out: int) -> None:
        super().__init__()
        self.modulation = Modulation(channels, condition)
        self.up = upsampled_conv(channels, out, detail=True)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        modulated = x + F.leaky_relu(self.modulation(x, condition), SLOPE)
        return F.leaky_relu(self.up(modulated), SLOPE)


class ResidualDecoder(nn.Module):
    """LR face, enlarged face, encoder features of strides 2, 4, 8, 16 -> SR face, feature maps.

    Args:
        encoder_info: channels and strides of the encoder's features, shallow to deep.
        widths: channels at 1/8, 1/4, 1/2 and the full size of the SR face.
        blocks: residual blocks at 1/8 of the size.

    Raises:
        ConfigError: the encoder's features do not have these strides.
    """

    def __init__(
        self,
        *,
        encoder_info: Sequence[FeatureInfo],
        widths: Sequence[int] = (128, 64, 32, 16),
        blocks: int = 8,
    ) -> None:
        super().__init__()
        check_strides(encoder_info)
        self.feature_info = [
            FeatureInfo(width, stride) for width, stride in zip(widths, STAGE_STRIDES, strict=True)
        ]
        *shallower, deepest = (info.channels for info in encoder_info)
        self.entry = conv3x3(3, widths[0])
        self.context = Modulation(widths[0], deepest)
        self.body = nn.Sequential(*(ResidualBlock(widths[0]) for _ in range(blocks)))
        self.stages = nn.ModuleList(
            ResidualStage(channels, condition, out)
            for channels, condition, out in zip(
                widths[:-1], reversed(shallower), widths[1:], strict=True
            )
        )
        self.head = conv3x3(widths[-1], 3)
        shrink(self.head)

    def forward(
        self, encoded: Sequence[Tensor], lr: Tensor, enlarged: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """SR face (B, 3, H, W) and maps at 1/8, 1/4, 1/2 and 1; arguments as in `SFTDecoder`.

        An LR face of another size than H/8 x W/8 is brought to it by averaging areas.
        """
        *shallower, deepest = encoded
        height, width = (length // STAGE_STRIDES[0] for length in enlarged.shape[-2:])
        if lr.shape[-2:] != (height, width):
            lr = F.adaptive_avg_pool2d(lr, (height, width))
        x = self.entry(lr - 0.5)
        x = x + F.leaky_relu(self.context(x, upsample(deepest)), SLOPE)
        features = [x + self.body(x)]
        for stage, condition in zip(self.stages, reversed(shallower), strict=True):
            features.append(stage(features[-1], condition))
        return enlarged + self.head(features[-1]), features
