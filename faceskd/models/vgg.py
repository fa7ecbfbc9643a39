"""VGG-19 as a feature extractor, at any width.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015. Its feature space is what dictionaries are built in, what the teacher queries them
with, and what perceptual losses compare in. Width is a parameter: 64 is the paper's.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models.base import FeatureInfo

CONVS_PER_BLOCK = (2, 2, 4, 4, 4)
WIDTH_FACTORS = (1, 2, 4, 8, 8)
DICTIONARY_TAPS = ("relu2_2", "relu3_4", "relu4_4", "conv5_4")
"""Where DFDNet cuts components out: strides 2, 4, 8, 16; the last one before its ReLU."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
Padding = Literal["zeros", "reflect"]
Pooling = Literal["max", "avg"]


def tap_position(tap: str) -> tuple[int, int, bool]:
    """Block, place in the block and whether after its ReLU, of a tap such as "relu3_4".

    Its stride is 2 ** (block - 1); taps sort by it from shallow to deep.

    Raises:
        ConfigError: VGG-19 has no such layer.

    Examples:
        >>> tap_position("conv5_4")
        (5, 4, False)
    """
    valid = tap[:4] in ("relu", "conv") and tap[4:5].isdigit() and tap[5:6] == "_"
    if valid and tap[6:].isdigit():
        block, index = int(tap[4]), int(tap[6:])
        if 1 <= block <= 5 and 1 <= index <= CONVS_PER_BLOCK[block - 1]:
            return block, index, tap.startswith("relu")
    raise ConfigError(f"expected a layer of VGG-19 such as relu3_4 or conv5_4, got {tap!r}")


class VGG19(nn.Module):
    """VGG-19's convolutions up to the deepest tap: RGB in [0, 1] -> list of feature maps.

    Args:
        width: channels of the first block; 64 is the paper's, 16 a sixteenth of the work.
        taps: layers whose outputs are returned, shallow to deep.
        padding_mode: "zeros" for torchvision's weights, "reflect" for style-transfer ones.
        weights: None for random weights, "torchvision", or a path (see `vgg_weights`).
        pooling: "max", or "avg": through max-pooling a perceptual loss sees one pixel in four,
            and its gradient leaves a grid.

    Examples:
        >>> vgg = VGG19(width=4)
        >>> [tuple(map.shape) for map in vgg(torch.rand(1, 3, 64, 64))]
        [(1, 8, 32, 32), (1, 16, 16, 16), (1, 32, 8, 8), (1, 32, 4, 4)]
    """

    def __init__(
        self,
        *,
        width: int = 64,
        taps: Sequence[str] = DICTIONARY_TAPS,
        padding_mode: Padding = "zeros",
        weights: str | Path | None = None,
        pooling: Pooling = "max",
    ) -> None:
        super().__init__()
        if width < 1:
            raise ConfigError(f"expected a width of at least 1 channel, got {width}")
        if pooling not in get_args(Pooling):
            raise ConfigError(f"expected pooling max or avg, got {pooling!r}")
        if padding_mode not in get_args(Padding):
            raise ConfigError(f"expected padding_mode zeros or reflect, got {padding_mode!r}")
        self.taps = tuple(taps)
        self.width = width
        self.padding_mode = padding_mode
        self.pooling = pooling
        positions = [tap_position(tap) for tap in self.taps]
        if not positions or positions != sorted(set(positions)):
            raise ConfigError(f"expected taps from shallow to deep, got {self.taps}")
        self.feature_info = [
            FeatureInfo(width * WIDTH_FACTORS[block - 1], 2 ** (block - 1))
            for block, _, _ in positions
        ]
        self.normalise = _imagenet_normalisation()
        self.convs = nn.ModuleDict(_convolutions(width, self.taps[-1], padding_mode))
        self.pool = nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2)
        if weights is not None:
            from faceskd.models.vgg_weights import load_vgg_weights

            load_vgg_weights(self, weights)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Feature maps of RGB images (B, 3, H, W) in [0, 1], one a tap, (B, C, H/s, W/s)."""
        x = self.normalise(image)
        features: dict[str, Tensor] = {}
        for name, conv in self.convs.items():
            block, index = name.split("_")
            if index == "1" and block != "1":
                x = self.pool(x)
            x = conv(x)
            features[f"conv{name}"] = x
            x = torch.relu(x)
            features[f"relu{name}"] = x
        return [features[tap] for tap in self.taps]

    def fingerprint(self) -> str:
        """A short hash of architecture, taps and weights: names the feature space.

        A dictionary stores that of its encoder, so that a teacher with another one refuses it.
        """
        # Only unusual options enter: fingerprints of the others stay what they were.
        unusual = {self.padding_mode, self.pooling} - {"zeros", "max"}
        digest = hashlib.sha256(repr((self.width, self.taps, *sorted(unusual))).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def _imagenet_normalisation() -> nn.Conv2d:
    """(image - mean) / std as a fixed 1x1 convolution: some weights bring another, with BGR."""
    conv = nn.Conv2d(3, 3, 1)
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    conv.weight = nn.Parameter(torch.diag(1 / std)[:, :, None, None])
    conv.bias = nn.Parameter(-mean / std)
    return conv.requires_grad_(False)


def _convolutions(width: int, last_tap: str, padding_mode: Padding) -> dict[str, nn.Conv2d]:
    """The 3x3 convolutions by their names "1_1" ... up to the last tap's."""
    convs: dict[str, nn.Conv2d] = {}
    channels = 3
    for block, (count, factor) in enumerate(zip(CONVS_PER_BLOCK, WIDTH_FACTORS, strict=True), 1):
        for index in range(1, count + 1):
            out = width * factor
            conv = nn.Conv2d(channels, out, 3, padding=1, padding_mode=padding_mode)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            conv.bias = nn.Parameter(torch.zeros(out))
            name = f"{block}_{index}"
            convs[name] = conv
            if last_tap.endswith(name):
                return convs
            channels = out
    return convs
