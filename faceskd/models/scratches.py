"""The scratch detector: where an old photo has scratches, cracks, folds, dust or torn edges.

A U-Net (Ronneberger et al., MICCAI 2015, arXiv 1505.04597), as Wan et al. use one in "Bringing Old
Photos Back to Life" (CVPR 2020, arXiv 2004.09484). Ours is narrower, and enlarges bilinearly.
"""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.files import atomic_path
from faceskd.common.images import to_tensor
from faceskd.common.tensors import check_finite, read_safetensors, write_safetensors
from faceskd.models.blocks import SLOPE, conv3x3, upsample
from faceskd.models.tiling import blended_tiles
from faceskd.models.weights import check_state

FORMAT = "faceskd-scratches"


def _convs(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        conv3x3(channels, out),
        nn.LeakyReLU(SLOPE, inplace=True),
        conv3x3(out, out),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


class ScratchNet(nn.Module):
    """RGB float in [0, 1], (B, 3, H, W) of any size -> logits (B, 1, H, W).

    Args:
        widths: channels at the full size, at 1/2, 1/4 and so on.

    Raises:
        ConfigError: fewer than two widths.

    Example:
        >>> ScratchNet(widths=(4, 8))(torch.rand(1, 3, 30, 33)).shape
        torch.Size([1, 1, 30, 33])
    """

    def __init__(self, *, widths: Sequence[int] = (12, 24, 48, 64, 64)) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ConfigError(f"expected at least two widths, got {list(widths)}")
        self.widths = list(widths)
        self.down = nn.ModuleList(_convs(a, b) for a, b in pairwise((3, *widths)))
        self.up = nn.ModuleList(_convs(a + b, b) for b, a in reversed(list(pairwise(widths))))
        self.head = nn.Conv2d(widths[0], 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        cell = 2 ** (len(self.widths) - 1)
        x = F.pad(2 * image - 1, (0, -width % cell, 0, -height % cell), mode="replicate")
        maps: list[Tensor] = []
        for convs in self.down:
            maps.append(convs(F.avg_pool2d(maps[-1], 2) if maps else x))
        x = maps.pop()
        for convs in self.up:
            x = convs(torch.cat([upsample(x), maps.pop()], dim=1))
        return self.head(x)[..., :height, :width]

    def save(self, path: Path | str, metadata: dict | None = None) -> None:
        """Write the weights as safetensors, atomically. `load_scratches` reads them.

        Args:
            path: file to write.
            metadata: values that JSON can hold.

        Raises:
            WeightsError: a weight is NaN or infinite.
        """
        state = {name: value.cpu().contiguous() for name, value in self.state_dict().items()}
        texts = {"widths": json.dumps(self.widths), "metadata": json.dumps(metadata or {})}
        check_finite(state, path)
        with atomic_path(path) as temporary:
            write_safetensors(temporary, state, {"format": FORMAT, **texts})


def load_scratches(path: Path | str) -> ScratchNet:
    """The detector of a weights file, in eval mode.

    Raises:
        WeightsError: the file is missing or damaged, or is of another network.
    """
    state, header = read_safetensors(path)
    if header.get("format") != FORMAT:
        raise WeightsError(
            f"expected a scratch detector in {str(path)!r}, got "
            f"{header.get('format', 'another safetensors file')!r}: "
            "`faceskd train experiment=scratches` trains one"
        )
    network = ScratchNet(widths=json.loads(header["widths"]))
    check_finite(state, path)
    check_state(network.state_dict(), state, f"the weights in {str(path)!r} do not fit")
    network.load_state_dict(state)
    return network.eval()


def scratch_mask(network: ScratchNet, picture: np.ndarray) -> np.ndarray:
    """Find the structural damage of a whole picture, tile by tile.

    Args:
        network: detector in eval mode.
        picture: RGB uint8 (H, W, 3), of any size.

    Returns:
        Mask, uint8 (H, W): 255 where the probability of damage is at least 0.5, else 0.
    """
    device = next(network.parameters()).device

    def found(part: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        with torch.inference_mode():
            logits = network(to_tensor(part[None]).to(device))
        return 255 * torch.sigmoid(logits.float())[0].movedim(0, -1).cpu().numpy()

    share = blended_tiles(picture, found, channels=1)[..., 0]
    return np.where(share >= 255 / 2, 255, 0).astype(np.uint8)
