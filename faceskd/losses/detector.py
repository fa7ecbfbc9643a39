"""Distance in the feature space of a face detector."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.errors import ConfigError
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
            the first maps see the lids.

    Raises:
        ConfigError: another network, or a side below its own.
    """

    def __init__(self, *, network: Network = "output", side: int = 96) -> None:
        super().__init__()
        if network not in CONVOLUTIONS:
            raise ConfigError(f"expected a network of {', '.join(CONVOLUTIONS)}, got {network!r}")
        if side < OWN_SIDE[network]:
            raise ConfigError(
                f"expected a side of at least {OWN_SIDE[network]} px for {network!r}, got {side}"
            )
        from facenet_pytorch.models.mtcnn import ONet, RNet  # 0.2 s that few commands need

        self.side = side
        self.convolutions = CONVOLUTIONS[network]
        self.network = (RNet if network == "refine" else ONet)().requires_grad_(False).eval()

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Faces (B, 3, H, W) in [0, 1], cut as a detector would: see `InBox`."""
        with torch.no_grad():
            targets = self.features(hr)
        distances = [unit_distance(*pair) for pair in zip(self.features(sr), targets, strict=True)]
        return torch.stack(distances).mean()

    def features(self, faces: Tensor) -> list[Tensor]:
        """Maps after each convolution; from one to the next the stride doubles."""
        size = (self.side, self.side)
        resized = F.interpolate(faces.float(), size, mode="bilinear", antialias=True)
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
