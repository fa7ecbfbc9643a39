"""VGG-19 as a feature extractor, at any width.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015. Dictionaries are built from its features, the teacher looks up its features in them, and
perceptual losses compare them. The width can be chosen; the paper has 64.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.files import atomic_path
from faceskd.common.tensors import check_finite, write_safetensors
from faceskd.models.features import FeatureInfo
from faceskd.models.vgg_layers import (
    CONVS_PER_BLOCK,
    WIDTH_FACTORS,
    imagenet_normalisation,
    tap_position,
)
from faceskd.models.vgg_weights import read_vgg_state

DICTIONARY_TAPS = ("relu2_2", "relu3_4", "relu4_4", "conv5_4")
"""Layers that DFDNet takes components from: strides 2, 4, 8, 16; the last one before its ReLU."""
Padding = Literal["zeros", "reflect"]
Pooling = Literal["max", "avg"]
FORMAT = "faceskd-vgg19"
RANDOM = "random"
NO_WEIGHTS = (
    "set FACESKD_WEIGHTS to the folder that holds vgg19_quarter_conv5_1.pth (for encoder=quarter), "
    "or give a file (faceskd train experiment=encoder trains one), torchvision (for width 64), or "
    "random (untrained: a perceptual loss, a discriminator or a dictionary learns nothing from it)"
)
"""Advice on how to get weights, for error messages."""


class VGG19(nn.Module):
    """The convolutions of VGG-19 up to the deepest tap: RGB in [0, 1] -> list of feature maps.

    Args:
        width: channels of the first block. The paper has 64; 16 needs a sixteenth of the work.
        taps: layers whose outputs are returned, from shallow to deep.
        padding_mode: "zeros" for weights from torchvision, "reflect" for weights from style
            transfer.
        weights: a path or "torchvision" (see `vgg_weights`), or "random" for an untrained network.
            None is an error, so that random weights are never used by accident.
        pooling: "max" or "avg". With "max", only one pixel in four gets a gradient from a
            perceptual loss, which causes a grid in the image.

    Raises:
        WeightsError: there are no weights, or they do not fit (see `load`).
        ConfigError: an option has an unknown value.

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
        """Load weights from `source` (see `vgg_weights`), and check their shapes.

        Raises:
            WeightsError: the file is missing or damaged, has another width, or lacks layers up to
                the deepest tap.
        """
        state, wanted = read_vgg_state(source), self.state_dict()
        missing = sorted(name for name in wanted if not isinstance(state.get(name), Tensor))
        if missing:
            raise WeightsError(
                f"expected VGG-19 weights up to {self.taps[-1]!r} in {str(source)!r}, got none "
                f"named {missing[0]!r}: choose taps that the file has, or give another file"
            )
        for name, value in wanted.items():
            if state[name].shape != value.shape:
                raise WeightsError(
                    f"expected VGG-19 weights of width {self.width} in {str(source)!r}, got {name} "
                    f"of shape {tuple(state[name].shape)} instead of {tuple(value.shape)}: set "
                    "encoder.width, or give another file"
                )
        self.load_state_dict({name: state[name] for name in wanted})

    def save(self, path: Path | str, metadata: dict | None = None) -> None:
        """Write the weights as safetensors, atomically. `load` reads them.

        Args:
            path: file to write.
            metadata: values that JSON can hold.

        Raises:
            WeightsError: a weight is NaN or infinite.
        """
        state = {
            name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()
        }
        check_finite(state, path)
        texts = {"fingerprint": self.fingerprint(), "metadata": json.dumps(metadata or {})}
        with atomic_path(path) as temporary:
            write_safetensors(temporary, state, {"format": FORMAT, **texts})

    def forward(self, image: Tensor) -> list[Tensor]:
        """RGB images (B, 3, H, W) in [0, 1] -> one feature map (B, C, H/s, W/s) for each tap."""
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
        """A short hash of architecture, taps and weights.

        A dictionary stores the fingerprint of its encoder. A teacher with another encoder refuses
        the dictionary.
        """
        # Default options are not hashed, so that stored fingerprints stay valid.
        unusual = {self.padding_mode, self.pooling} - {"zeros", "max"}
        digest = hashlib.sha256(repr((self.width, self.taps, *sorted(unusual))).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]


def _convolutions(width: int, last_tap: str, padding_mode: Padding) -> dict[str, nn.Conv2d]:
    """The 3x3 convolutions by name, from "1_1" to the layer of the last tap."""
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
