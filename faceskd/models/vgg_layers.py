"""The layers of VGG-19: names, widths, and the normalisation of images."""

import torch
from torch import nn

from faceskd.common.errors import ConfigError
from faceskd.common.images import IMAGENET_MEAN, IMAGENET_STD

CONVS_PER_BLOCK = (2, 2, 4, 4, 4)
WIDTH_FACTORS = (1, 2, 4, 8, 8)


def conv_names() -> list[str]:
    """Names of the 3x3 convolutions, block and index in the block: "1_1", "1_2", ... "5_4"."""
    return [f"{b}_{i}" for b, n in enumerate(CONVS_PER_BLOCK, 1) for i in range(1, n + 1)]


def tap_position(tap: str) -> tuple[int, int, bool]:
    """Block, index in the block, and whether it is after the ReLU, of a tap such as "relu3_4".

    The stride is 2 ** (block - 1). Sorting these tuples sorts taps from shallow to deep.

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


def imagenet_normalisation() -> nn.Conv2d:
    """(image - mean) / std as a fixed 1x1 convolution; some weights replace it, for BGR images."""
    conv = nn.Conv2d(3, 3, 1)
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    conv.weight = nn.Parameter(torch.diag(1 / std)[:, :, None, None])
    conv.bias = nn.Parameter(-mean / std)
    return conv.requires_grad_(False)
