"""Frechet distance between the features of SR and HR images (Heusel et al., NeurIPS 2017).

Only the distance of features of TensorFlow's Inception network is called `fid`. With SqueezeNet
features it is called `frechet_squeezenet`. Both are too high for few images, so that values from
different numbers of images cannot be compared.

The distance is computed here, not by torchmetrics or SciPy: they take a root of D x D matrices
that few images leave singular. For 70 images of 2,048 features torchmetrics took 186 s and this
file 0.5 s; the distance of a set to itself was -0.0003 and 0. With many images all agree.
"""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from faceskd.common.images import IMAGENET_MEAN, IMAGENET_STD
from faceskd.common.pickles import read_pickle
from faceskd.metrics.base import Accumulator, MetricUnavailable, SetMetric
from faceskd.metrics.weights import metric_weights


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Squared Frechet distance of Gaussians fitted to two sets of features, (N, D) and (M, D).

    |m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)). Let A and B be the centred features divided by
    sqrt(N - 1) and sqrt(M - 1), so that S1 = A^T A and S2 = B^T B. Then the trace of the root is
    the sum of the singular values of A B^T. This form needs no root of a singular matrix, and also
    works for fewer images than dimensions (N < D).

    Raises:
        MetricUnavailable: a set has fewer than two images.

    Examples:
        >>> points = torch.tensor([[0.0], [2.0]])
        >>> frechet_distance(points, points + 3)
        9.0
    """
    for features in (first, second):
        if len(features) < 2:
            raise MetricUnavailable(
                f"a Frechet distance expects at least 2 images, got {len(features)}"
            )
    mean_1, root_1 = _gaussian(first)
    mean_2, root_2 = _gaussian(second)
    cross = torch.linalg.matrix_norm(root_1 @ root_2.T, ord="nuc")
    distance = (mean_1 - mean_2).square().sum()
    distance += root_1.square().sum() + root_2.square().sum() - 2 * cross
    return max(distance.item(), 0.0)


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and a matrix R with at most D rows, such that R^T R is the covariance."""
    features = features.double()
    mean = features.mean(0)
    root = (features - mean) / (len(features) - 1) ** 0.5
    if root.shape[0] > root.shape[1]:
        root = torch.linalg.qr(root, mode="r").R
    return mean, root


class Frechet(SetMetric):
    """Frechet distance of the features of a network, which subclasses load."""

    better = "lower"

    def __init__(self, *, allow_download: bool = False, device: str = "cpu") -> None:
        self._allow_download = allow_download
        self._device = device
        self._network: Callable[[Tensor], Tensor] | None = None
        self._latest: tuple[Tensor, Tensor] | None = None

    @abstractmethod
    def _load_network(self) -> Callable[[Tensor], Tensor]:
        """A function from images (B, 3, H, W) in [0, 1] to features (B, D)."""

    def load(self) -> None:
        if self._network is None:
            self._network = self._load_network()

    def start(self) -> Accumulator:
        return _FeatureSets(self)

    def features(self, images: Tensor) -> Tensor:
        """Features (B, D) of images (B, 3, H, W) in [0, 1], on the CPU."""
        self.load()
        assert self._network is not None
        return self._network(images).flatten(1).float().cpu()

    def reference_features(self, images: Tensor) -> Tensor:
        """As `features`, but cached for the last batch, because all methods share the HR images."""
        if self._latest is None or self._latest[0] is not images:
            self._latest = images, self.features(images)
        return self._latest[1]


class _FeatureSets(Accumulator):
    def __init__(self, metric: Frechet) -> None:
        self._metric = metric
        self._sr: list[Tensor] = []
        self._hr: list[Tensor] = []

    def add(self, sr: Tensor, hr: Tensor) -> None:
        self._sr.append(self._metric.features(sr))
        self._hr.append(self._metric.reference_features(hr))

    def compute(self) -> float:
        return frechet_distance(torch.cat(self._sr), torch.cat(self._hr))


class FrechetSqueezeNet(Frechet):
    """Frechet distance of the 512 average-pooled last features of SqueezeNet 1.1 (torchvision)."""

    name = "frechet_squeezenet"

    def _load_network(self) -> Callable[[Tensor], Tensor]:
        from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

        url = SqueezeNet1_1_Weights.IMAGENET1K_V1.url
        path = metric_weights(url, allow_download=self._allow_download)
        network = squeezenet1_1()
        network.load_state_dict(read_pickle(path))
        trunk = nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1))
        trunk = trunk.eval().requires_grad_(False).to(self._device)
        mean = torch.tensor(IMAGENET_MEAN, device=self._device).view(3, 1, 1)
        std = torch.tensor(IMAGENET_STD, device=self._device).view(3, 1, 1)
        return lambda images: trunk((images - mean) / std)


class Fid(Frechet):
    """FID: the 2,048 pooled features of TensorFlow's Inception network, from torch-fidelity."""

    name = "fid"

    def _load_network(self) -> Callable[[Tensor], Tensor]:
        try:
            from torch_fidelity import feature_extractor_inceptionv3 as inception
        except ImportError as error:
            raise MetricUnavailable(
                "FID needs the package 'torch-fidelity', which is not installed; install it with: "
                "pip install 'faceskd[fid]'"
            ) from error
        path = metric_weights(inception.URL_INCEPTION_V3, allow_download=self._allow_download)
        network = inception.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
        ).to(self._device)
        return lambda images: network(images.mul(255).round().to(torch.uint8))[0]
