"""Distance in the feature space of a face detector."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.losses.perceptual import unit_distance

Network = Literal["refine", "output"]
CONVOLUTIONS: dict[Network, int] = {"refine": 3, "output": 4}
OWN_SIDE: dict[Network, int] = {"refine": 24, "output": 48}
"""What each takes when it detects, px; 3x3 pixels are left of it after the convolutions."""


class DetectorLoss(nn.Module):
    """Mean unit distance of the feature maps of one of MTCNN's networks.

    They tell faces from others and find eyes, nose and mouth (Zhang et al., "Joint Face Detection
    and Alignment Using Multitask Cascaded Convolutional Networks", IEEE Signal Processing Letters,
    2016): their features mind what these look like, where VGG-19, that has learnt a thousand kinds
    of things, minds all textures alike. The weights come with facenet-pytorch.

    Args:
        network: "refine", MTCNN's second, of 28, 48 and 64 channels, or "output", its third, of
            32, 64, 64 and 128.
        side: what faces are resized to, px; two or three times the network's own input, so that
            the first maps see the lids. The least and the largest of two: each batch has its own,
            so that what is right at one size alone is of no use.

    Raises:
        ConfigError: another network, a side below its own, or two in the wrong order.
    """

    def __init__(self, *, network: Network = "output", side: int | tuple[int, int] = 96) -> None:
        super().__init__()
        if network not in CONVOLUTIONS:
            raise ConfigError(f"expected a network of {', '.join(CONVOLUTIONS)}, got {network!r}")
        least, largest = (side, side) if isinstance(side, int) else side
        if not OWN_SIDE[network] <= least <= largest:
            raise ConfigError(
                f"expected a side of at least {OWN_SIDE[network]} px for {network!r}, or the least "
                f"and the largest, got {side}"
            )
        from facenet_pytorch.models.mtcnn import ONet, RNet  # 0.2 s that few commands need

        self.sides = least, largest
        self.convolutions = CONVOLUTIONS[network]
        self.network = (RNet if network == "refine" else ONet)().requires_grad_(False).eval()

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Faces (B, 3, H, W) in [0, 1], cut as a detector would: see `InBox`."""
        least, largest = self.sides
        side = int(torch.randint(least, largest + 1, ()))
        with torch.no_grad():
            targets = self.features(hr, side)
        found = self.features(sr, side)
        distances = [unit_distance(*pair) for pair in zip(found, targets, strict=True)]
        return torch.stack(distances).mean()

    def features(self, faces: Tensor, side: int) -> list[Tensor]:
        """Maps after each convolution, of faces resized to this side; each stride doubles."""
        resized = F.interpolate(faces.float(), (side, side), mode="bilinear", antialias=True)
        x = (resized * 255 - 127.5) / 128
        maps: list[Tensor] = []
        for number in range(1, self.convolutions + 1):
            if maps:
                x = self._layer("pool", number - 1)(x)
            x = self._layer("prelu", number)(self._layer("conv", number)(x))
            maps.append(x)
        return maps

    def _layer(self, kind: str, number: int) -> nn.Module:
        return self.network.get_submodule(f"{kind}{number}")
