"""NIQE: how far the local statistics of an image are from those of good photographs.

Mittal, Soundararajan and Bovik, "Making a 'Completely Blind' Image Quality Analyzer", IEEE Signal
Processing Letters 20 (3), 2013. No HR image is needed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from faceskd.common.errors import ConfigError
from faceskd.common.files import atomic_path
from faceskd.common.images import luminance
from faceskd.common.tensors import read_safetensors, write_safetensors
from faceskd.metrics.base import ImageMetric, MetricUnavailable

BLOCK = 96
"""Side of the blocks at the image's size, px; half of it at the second scale."""

FEATURES = 36
"""Per block: 18 at each of two scales."""

SHARP = 0.75
"""A model is fitted to blocks that are at least this sharp, relative to the sharpest."""

MODEL = Path(__file__).parent / "niqe.safetensors"
"""The model of `Niqe`, which `tools/fit_niqe.py` fitted: to this project's photographed training
portraits and to scenes without faces."""

_RADIUS, _SIGMA = 3, 7 / 6  # of the Gaussian window of local mean and deviation
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True, eq=False)
class NiqeModel:
    """A multivariate Gaussian of the features of good photographs: (36,) and (36, 36) float64."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def fit(cls, photographs: Iterable[Tensor]) -> "NiqeModel":
        """Fit to photographs, each (3, H, W) in [0, 1], of any sizes from 96 px.

        Raises:
            ConfigError: the photographs have fewer than two sharp blocks.
        """
        kept = []
        for photograph in photographs:
            features, sharpness = block_features(photograph)
            kept.append(features[sharpness > SHARP * sharpness.max()])
        features = _without_flat(torch.cat(kept)) if kept else torch.empty(0, FEATURES)
        if len(features) < 2:
            raise ConfigError(
                f"expected photographs with at least 2 sharp blocks of {BLOCK}x{BLOCK} px, got "
                f"{len(features)}: give more photographs"
            )
        return cls(features.mean(0), features.T.cov())

    @classmethod
    def load(cls, path: Path | str = MODEL) -> "NiqeModel":
        """Read a file that `save` wrote."""
        tensors, _ = read_safetensors(path)
        return cls(tensors["mean"], tensors["covariance"])

    def save(self, path: Path | str) -> None:
        """Write a safetensors file, atomically."""
        tensors = {"mean": self.mean, "covariance": self.covariance}
        with atomic_path(path) as temporary:
            write_safetensors(temporary, tensors, {"format": "faceskd niqe 1"})

    def distance(self, image: Tensor) -> float:
        """NIQE of an image (3, H, W) in [0, 1]: 0 or more, lower is more natural.

        Eq. 10: sqrt((m1 - m2)^T ((C1 + C2) / 2)^-1 (m1 - m2)), with the pseudo-inverse where the
        image has fewer blocks than features.

        Raises:
            MetricUnavailable: the image has fewer than two blocks that are not flat.
        """
        features = _without_flat(block_features(image)[0])
        if len(features) < 2:
            raise MetricUnavailable(
                f"NIQE expects an image with at least 2 blocks of {BLOCK}x{BLOCK} px that are not "
                f"flat, got {len(features)}"
            )
        difference = features.mean(0) - self.mean
        covariance = (features.T.cov() + self.covariance) / 2
        return math.sqrt(max((difference @ torch.linalg.pinv(covariance) @ difference).item(), 0))


class Niqe(ImageMetric):
    """NIQE of the SR image, on its blocks of 96x96 px; a rest at right and bottom is left out.

    Values compare images within this project. Those of other programs differ, because their model
    was fitted to other photographs. No published reference values were compared with.
    """

    name = "niqe"
    better = "lower"

    def __init__(self) -> None:
        self._model: NiqeModel | None = None

    def load(self) -> None:
        if self._model is None:
            self._model = NiqeModel.load()

    def per_image(self, sr: Tensor, hr: Tensor, landmarks: Tensor | None) -> Tensor:
        self.load()
        assert self._model is not None
        return torch.tensor([self._model.distance(image) for image in sr.cpu()])


def block_features(image: Tensor) -> tuple[Tensor, Tensor]:
    """Features (N, 36) and sharpness (N,) of the N blocks of an image (3, H, W) in [0, 1], float64.

    Sharpness is the mean local deviation of a block (eq. 3 of the paper), in 8-bit levels. Features
    of flat blocks are NaN.

    Raises:
        MetricUnavailable: the image is smaller than a block.
    """
    height, width = (side // BLOCK * BLOCK for side in image.shape[-2:])
    if not height or not width:
        size = "x".join(map(str, reversed(image.shape[-2:])))
        raise MetricUnavailable(f"NIQE expects images of at least {BLOCK}x{BLOCK} px, got {size}")
    grey = luminance(image[None]).double()[..., :height, :width] * 255
    normalised, deviation = normalised_luminance(grey)
    half = F.interpolate(grey, scale_factor=0.5, mode="bicubic", antialias=True)
    scales = (normalised, BLOCK), (normalised_luminance(half)[0], BLOCK // 2)
    features = torch.cat([_statistics(_blocks(values, side)) for values, side in scales], 1)
    return features, _blocks(deviation, BLOCK).mean((1, 2))


def normalised_luminance(grey: Tensor) -> tuple[Tensor, Tensor]:
    """(I - mu) / (sigma + 1) and sigma, the local mean and deviation (eq. 1 to 3 of the paper).

    The window is a Gaussian of 7x7 px with a standard deviation of 7/6.

    Args:
        grey: (B, 1, H, W), 8-bit levels.
    """
    offsets = torch.arange(-_RADIUS, _RADIUS + 1, dtype=grey.dtype)
    line = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    window = torch.outer(line, line)[None, None] / line.sum() ** 2

    def local_mean(values: Tensor) -> Tensor:
        return F.conv2d(F.pad(values, [_RADIUS] * 4, mode="replicate"), window)

    mean = local_mean(grey)
    deviation = (local_mean(grey.square()) - mean.square()).abs().sqrt()
    return (grey - mean) / (deviation + 1), deviation


def asymmetric_gaussian(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit asymmetric generalised Gaussians to the rows of (N, M), by moments.

    The density is that of eq. 8 of the paper: exp(-(|x| / beta)^alpha) up to its factor, with one
    beta for x < 0 and another for x >= 0.

    Returns:
        alpha, beta on the left and beta on the right, each (N,). NaN for rows of zeros.
    """
    shapes, ratios = _shape_table()
    left, right = ((values.clamp(max=0), values < 0), (values.clamp(min=0), values > 0))
    deviations = [(part.square().sum(1) / mask.sum(1)).sqrt() for part, mask in (left, right)]
    skew = deviations[0] / deviations[1]
    ratio = values.abs().mean(1).square() / values.square().mean(1)
    ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew.square() + 1).square()
    nearest = torch.searchsorted(ratios, ratio.nan_to_num(0)).clamp(1, len(ratios) - 1)
    before = (ratio - ratios[nearest - 1]).abs() < (ratio - ratios[nearest]).abs()
    alpha = shapes[nearest - before.long()]
    scale = torch.exp((torch.lgamma(1 / alpha) - torch.lgamma(3 / alpha)) / 2)
    alpha = torch.where(ratio.isnan(), math.nan, alpha)
    return alpha, deviations[0] * scale, deviations[1] * scale


@cache
def _shape_table() -> tuple[Tensor, Tensor]:
    """Shapes alpha, and gamma(2/a)^2 / (gamma(1/a) gamma(3/a)) of each: both increase."""
    alpha = torch.arange(0.2, 10.001, 0.001, dtype=torch.float64)
    one, two, three = (torch.lgamma(number / alpha) for number in (1, 2, 3))
    return alpha, torch.exp(2 * two - one - three)


def _statistics(blocks: Tensor) -> Tensor:
    """The 18 features of one scale, (N, S, S) -> (N, 18): section II.B and II.C of the paper."""
    alpha, left, right = asymmetric_gaussian(blocks.flatten(1))
    features = [alpha, (left + right) / 2]
    for shift in _NEIGHBOURS:
        products = blocks * blocks.roll(shift, (1, 2))
        alpha, left, right = asymmetric_gaussian(products.flatten(1))
        mean = (right - left) * torch.exp(torch.lgamma(2 / alpha) - torch.lgamma(1 / alpha))
        features += [alpha, mean, left, right]
    return torch.stack(features, 1)


def _blocks(values: Tensor, side: int) -> Tensor:
    """(1, 1, H, W) -> (N, side, side), row by row."""
    rows = values[0, 0].unflatten(0, (-1, side)).unflatten(2, (-1, side))
    return rows.transpose(1, 2).flatten(0, 1)


def _without_flat(features: Tensor) -> Tensor:
    return features[features.isfinite().all(1)]
