"""Distance in the feature space of a face detector."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.checks import check_choice
from faceskd.common.errors import ConfigError
from faceskd.losses.perceptual import unit_distance
from faceskd.models.frozen import frozen

Network = Literal["refine", "output"]
CONVOLUTIONS: dict[Network, int] = {"refine": 3, "output": 4}
OWN_SIDE: dict[Network, int] = {"refine": 24, "output": 48}
"""Input side of each network when it detects faces, px. The last map then has 3x3 cells."""


class DetectorLoss(nn.Module):
    """Distance between SR and HR faces in the feature maps of one of MTCNN's networks.

    The distance is `faceskd.losses.perceptual.unit_distance`, averaged over the maps. MTCNN was
    trained to detect faces and to find eyes, nose and mouth (Zhang et al., "Joint Face Detection
    and Alignment Using Multitask Cascaded Convolutional Networks", IEEE Signal Processing Letters,
    2016). So its features depend on the shape of these parts, whereas VGG-19, trained on a thousand
    classes, weighs all textures alike. The weights come with facenet-pytorch.

    Args:
        network: "refine", MTCNN's second network (28, 48 and 64 channels), or "output", its third
            (32, 64, 64 and 128 channels).
        side: side in px to which faces are resized. Two or three times the network's own input
            works well, because the first maps then resolve the eyelids. With two values, each batch
            draws a side between them, so that a network cannot fit one size only.

    Raises:
        ConfigError: an unknown network, a side below the network's input, or two sides in the wrong
            order.
    """

    def __init__(self, *, network: Network = "output", side: int | tuple[int, int] = 96) -> None:
        super().__init__()
        check_choice(CONVOLUTIONS, network=network)
        least, largest = (side, side) if isinstance(side, int) else side
        if not OWN_SIDE[network] <= least <= largest:
            raise ConfigError(
                f"expected side as px or [smallest, largest], at least {OWN_SIDE[network]} px for "
                f"{network!r}, got {side}"
            )
        from facenet_pytorch.models.mtcnn import ONet, RNet  # takes 0.2 s; few commands need it

        self.sides = least, largest
        self.convolutions = CONVOLUTIONS[network]
        self.network = frozen((RNet if network == "refine" else ONet)())

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Faces (B, 3, H, W) in [0, 1] -> scalar. Use `InBox` to cut them as a detector does."""
        least, largest = self.sides
        side = int(torch.randint(least, largest + 1, ()))
        with torch.no_grad():
            targets = self.features(hr, side)
        found = self.features(sr, side)
        distances = [unit_distance(*pair) for pair in zip(found, targets, strict=True)]
        return torch.stack(distances).mean()

    def features(self, faces: Tensor, side: int) -> list[Tensor]:
        """Feature maps after each convolution, for faces resized to `side`."""
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
