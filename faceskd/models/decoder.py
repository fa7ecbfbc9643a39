"""The decoder that teacher and student share: four stages of spatial feature transform (SFT).

Let F be the decoder's feature map and F_hat the condition of the same size: the encoder's map in
the student, the map after dictionary transfer in the teacher. A stage computes

    F_up = up(conv(F) * scale(F_hat) + shift(F_hat))

(Li et al. 2020, DFDNet; eq. 2 of Jo et al. 2021). As in DFDNet, the shift ends in a sigmoid, and
all convolutions but those of the head have spectral norm. One change is ours: the head's output is
added to the bicubic enlargement, so that training starts from it. With `bicubic_skip=False` the
head makes the whole image, as DFDNet's does.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.base import FeatureInfo
from faceskd.models.blocks import (
    SLOPE,
    MultiDilationBlock,
    ResidualBlock,
    conv3x3,
    conv_pair,
    shrink,
    upsample,
)

ENCODER_STRIDES = (2, 4, 8, 16)
STAGE_STRIDES = (8, 4, 2, 1)
STAGE_FACTORS = (8, 4, 2, 1)


def check_strides(encoder_info: Sequence[FeatureInfo]) -> None:
    """Raise a ConfigError unless the encoder's features have strides 2, 4, 8 and 16."""
    strides = tuple(info.stride for info in encoder_info)
    if strides != ENCODER_STRIDES:
        raise ConfigError(f"expected encoder taps with strides {ENCODER_STRIDES}, got {strides}")


class SFTStage(nn.Module):
    """One stage: map (B, C, H, W) and condition (B, D, H, W) -> (B, C_out, 2H, 2W)."""

    def __init__(self, channels: int, condition: int, out: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels, spectral=True)
        self.scale = conv_pair(condition, channels, spectral=True)
        self.shift = nn.Sequential(conv_pair(condition, channels, spectral=True), nn.Sigmoid())
        self.up = conv_pair(channels, out, spectral=True)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        modulated = self.conv(x) * self.scale(condition) + self.shift(condition)
        return self.up(upsample(modulated))


class SFTDecoder(nn.Module):
    """Encoder features of strides 2, 4, 8, 16 and the enlarged face -> SR face and stage outputs.

    Args:
        encoder_info: channels and strides of the encoder's features, shallow to deep.
        width: channels of the last stage. The four stages have 8, 4, 2 and 1 times this number.
        bicubic_skip: add the head's output to the enlarged LR face; false adds it to mid-grey.

    Raises:
        ConfigError: the encoder's features do not have these strides.
    """

    def __init__(
        self, *, encoder_info: Sequence[FeatureInfo], width: int, bicubic_skip: bool = True
    ) -> None:
        super().__init__()
        self.bicubic_skip = bicubic_skip
        check_strides(encoder_info)
        deepest = encoder_info[-1].channels
        self.feature_info = [
            FeatureInfo(width * factor, stride)
            for factor, stride in zip(STAGE_FACTORS, STAGE_STRIDES, strict=True)
        ]
        self.context = MultiDilationBlock(deepest)
        self.stages = nn.ModuleList()
        channels = deepest
        for condition, info in zip(reversed(encoder_info), self.feature_info, strict=True):
            self.stages.append(SFTStage(channels, condition.channels, info.channels))
            channels = info.channels
        last = conv3x3(width, 3)
        if bicubic_skip:
            shrink(last)
        self.head = nn.Sequential(
            conv3x3(width, width),
            nn.LeakyReLU(SLOPE, inplace=True),
            ResidualBlock(width),
            ResidualBlock(width),
            last,
        )

    def forward(
        self, encoded: Sequence[Tensor], lr: Tensor, enlarged: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """The SR face (B, 3, H, W) and four stage outputs.

        Args:
            encoded: the encoder's features, shallow to deep.
            lr: not used here; `ResidualDecoder` needs the LR face.
            enlarged: the LR face, enlarged to H x W.
        """
        x = self.context(encoded[-1])
        features = []
        for stage, condition in zip(self.stages, reversed(encoded), strict=True):
            x = stage(x, condition)
            features.append(x)
        base = enlarged if self.bicubic_skip else 0.5
        return base + self.head(x), features
