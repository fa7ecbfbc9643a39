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
from safetensors.torch import save_file
from torch import Tensor, nn

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.files import atomic_path
from faceskd.models.features import FeatureInfo
from faceskd.models.vgg_layers import (
    CONVS_PER_BLOCK,
    WIDTH_FACTORS,
    imagenet_normalisation,
    tap_position,
)
from faceskd.models.vgg_weights import read_vgg_state

DICTIONARY_TAPS = ("relu2_2", "relu3_4", "relu4_4", "conv5_4")
"""Where DFDNet cuts components out: strides 2, 4, 8, 16; the last one before its ReLU."""
Padding = Literal["zeros", "reflect"]
Pooling = Literal["max", "avg"]
FORMAT = "faceskd-vgg19"
RANDOM = "random"
NO_WEIGHTS = (
    "set FACESKD_WEIGHTS to the folder that holds vgg19_quarter_conv5_1.pth (for encoder=quarter), "
    "or give a file (faceskd train experiment=encoder trains one), torchvision (for width 64), or "
    "random (untrained: a perceptual loss, a discriminator or a dictionary learns nothing from it)"
)
"""How to get weights, or to do without."""


class VGG19(nn.Module):
    """VGG-19's convolutions up to the deepest tap: RGB in [0, 1] -> list of feature maps.

    Args:
        width: channels of the first block; 64 is the paper's, 16 a sixteenth of the work.
        taps: layers whose outputs are returned, shallow to deep.
        padding_mode: "zeros" for torchvision's weights, "reflect" for style-transfer ones.
        weights: a path or "torchvision" (see `vgg_weights`), or "random" for an untrained network,
            which has to be asked for: None is refused.
        pooling: "max", or "avg": through max-pooling a perceptual loss sees one pixel in four,
            and its gradient leaves a grid.

    Raises:
        WeightsError: there are no weights, or they do not fit (see `load`).
        ConfigError: an option that does not exist.

    Examples:
        >>> vgg = VGG19(width=4, weights="random")
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
        self.normalise = imagenet_normalisation()
        self.convs = nn.ModuleDict(_convolutions(width, self.taps[-1], padding_mode))
        self.pool = nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2)
        if weights is None:
            raise WeightsError(f"a VGG-19 needs its option weights: {NO_WEIGHTS}")
        if str(weights) != RANDOM:
            self.load(weights)

    def load(self, source: str | Path) -> None:
        """Fill in weights from `source` (see `vgg_weights`), checking every shape.

        Raises:
            WeightsError: the file is missing or damaged, another width, or does not reach the taps.
        """
        state, wanted = read_vgg_state(source), self.state_dict()
        missing = sorted(name for name in wanted if not isinstance(state.get(name), Tensor))
        if missing:
            raise WeightsError(
                f"the VGG-19 weights in {str(source)!r} end before the tap {self.taps[-1]!r}: "
                f"they have no {missing[0]!r}"
            )
        for name, value in wanted.items():
            if state[name].shape != value.shape:
                raise WeightsError(
                    f"the VGG-19 weights in {str(source)!r} are of another width: {name} is "
                    f"{tuple(state[name].shape)}, expected {tuple(value.shape)}"
                )
        self.load_state_dict({name: state[name] for name in wanted})

    def save(self, path: Path | str) -> None:
        """Write the weights as safetensors, atomically; `load` reads them."""
        state = {
            name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()
        }
        with atomic_path(path) as temporary:
            save_file(state, temporary, {"format": FORMAT, "fingerprint": self.fingerprint()})

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
