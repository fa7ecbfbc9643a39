"""LPIPS, a learned perceptual distance (Zhang et al., CVPR 2018), from the authors' package."""

import warnings

import torch
from torch import Tensor

from faceskd.metrics.base import ImageMetric
from faceskd.metrics.weights import metric_weights

_TORCHVISION_WEIGHTS = {
    "alex": "AlexNet_Weights.IMAGENET1K_V1",
    "vgg": "VGG16_Weights.IMAGENET1K_V1",
    "squeeze": "SqueezeNet1_1_Weights.IMAGENET1K_V1",
}
LPIPS_NAMES = tuple(f"lpips_{net}" for net in _TORCHVISION_WEIGHTS)


class Lpips(ImageMetric):
    """`lpips_<net>` for alex, vgg or squeeze. Values of different networks cannot be compared."""

    better = "lower"

    def __init__(self, name: str, *, allow_download: bool = False, device: str = "cpu") -> None:
        self.name = name
        self._net = name.removeprefix("lpips_")
        self._allow_download = allow_download
        self._device = device
        self._network: torch.nn.Module | None = None

    def load(self) -> None:
        if self._network is not None:
            return
        import lpips
        from torchvision.models import get_weight

        url = get_weight(_TORCHVISION_WEIGHTS[self._net]).url
        metric_weights(url, allow_download=self._allow_download)  # lpips loads what is there
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # lpips uses a deprecated torchvision call
            network = lpips.LPIPS(net=self._net, verbose=False)
        self._network = network.eval().requires_grad_(False).to(self._device)

    def per_image(self, sr: Tensor, hr: Tensor, landmarks: Tensor | None) -> Tensor:
        self.load()
        assert self._network is not None
        return self._network(sr * 2 - 1, hr * 2 - 1).flatten()
