"""Measure several metrics over batches, and record which could not be measured and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from faceskd.common.errors import ConfigError
from faceskd.metrics.base import (
    Accumulator,
    Direction,
    ImageMetric,
    Metric,
    MetricUnavailable,
    SetMetric,
)
from faceskd.metrics.colour import COLOUR_NAMES, ColourShift, SkinTone
from faceskd.metrics.fidelity import FIDELITY_NAMES, Fidelity
from faceskd.metrics.frechet import Fid, FrechetSqueezeNet
from faceskd.metrics.grid import GridIndex
from faceskd.metrics.identity import IDENTITY, Identity
from faceskd.metrics.lpips import LPIPS_NAMES, Lpips
from faceskd.metrics.niqe import Niqe

METRIC_NAMES = (
    *FIDELITY_NAMES,
    *LPIPS_NAMES,
    Fid.name,
    FrechetSqueezeNet.name,
    IDENTITY,
    GridIndex.name,
    Niqe.name,
    *COLOUR_NAMES,
)


def build_metric(
    name: str,
    *,
    device: str = "cpu",
    allow_download: bool = False,
    face_model: Path | str | None = None,
) -> Metric:
    """Build the metric with a name from `METRIC_NAMES`. Loads nothing.

    Raises:
        ConfigError: there is no such metric.
    """
    if name in FIDELITY_NAMES:
        return Fidelity(name)
    if name in LPIPS_NAMES:
        return Lpips(name, allow_download=allow_download, device=device)
    if name == IDENTITY:
        return Identity(face_model)
    if name == GridIndex.name:
        return GridIndex()
    if name == Niqe.name:
        return Niqe()
    if name in COLOUR_NAMES:
        return SkinTone() if name == SkinTone.name else ColourShift(name)
    for frechet in (Fid, FrechetSqueezeNet):
        if name == frechet.name:
            return frechet(allow_download=allow_download, device=device)
    raise ConfigError(f"expected metrics from {', '.join(METRIC_NAMES)}, got {name!r}")


@dataclass(frozen=True)
class Scores:
    """Results of a suite.

    Attributes:
        faces: names of the images, in the order in which they were added.
        per_image: for each image metric, its values for all faces.
        per_set: for each metric of a whole set, its value.
    """

    faces: list[str] = field(default_factory=list)
    per_image: dict[str, list[float]] = field(default_factory=dict)
    per_set: dict[str, float] = field(default_factory=dict)

    def summary(self) -> dict[str, float]:
        """One value for each metric: the mean over images, or the value of the set."""
        means = {name: float(np.mean(values)) for name, values in self.per_image.items()}
        return means | self.per_set


class MetricSuite:
    """Measures metrics by name. SR images are clamped and rounded to 8 bit, as in saved files.

    Networks are loaded with the first batch; the constructor loads and downloads nothing. A metric
    that cannot be measured is skipped, and `unavailable` gives the reason.

    Args:
        names: names from `METRIC_NAMES`; `identity` becomes `identity_<file stem of face_model>`.
        device: device of the metrics' networks.
        allow_download: whether missing weights may be downloaded into torch hub's cache.
        face_model: ONNX file of a face-recognition network, for `identity`.

    Raises:
        ConfigError: a name is unknown or given twice.

    Examples:
        >>> suite = MetricSuite(["psnr"])
        >>> hr = torch.zeros(2, 3, 16, 16)
        >>> suite.update(hr + 0.2, hr)
        >>> round(suite.compute().summary()["psnr"], 2)
        13.98
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        device: str = "cpu",
        allow_download: bool = False,
        face_model: Path | str | None = None,
    ) -> None:
        if len(set(names)) != len(names):
            raise ConfigError(f"expected each metric once, got {list(names)}")
        self._metrics = [
            build_metric(name, device=device, allow_download=allow_download, face_model=face_model)
            for name in names
        ]
        self._device = device
        self.unavailable: dict[str, str] = {}
        self.reset()

    @property
    def names(self) -> list[str]:
        """Names of the metrics as they appear in tables, in order."""
        return [metric.name for metric in self._metrics]

    @property
    def better(self) -> dict[str, Direction]:
        """For each metric, which values are better."""
        return {metric.name: metric.better for metric in self._metrics}

    @property
    def needing_landmarks(self) -> list[str]:
        """Names of the metrics that need the landmarks of the HR faces."""
        return [metric.name for metric in self._metrics if metric.needs_landmarks]

    def fresh(self, names: Sequence[str] | None = None) -> "MetricSuite":
        """An empty suite of these metrics, or of some; it shares networks and `unavailable`."""
        other = object.__new__(MetricSuite)
        other._metrics = [m for m in self._metrics if names is None or m.name in names]
        other._device = self._device
        other.unavailable = self.unavailable
        other.reset()
        return other

    def load(self) -> None:
        """Load the networks of all metrics now, and record in `unavailable` what is missing."""
        for metric in self._metrics:
            if metric.name in self.unavailable:
                continue
            try:
                metric.load()
            except MetricUnavailable as error:
                self.unavailable[metric.name] = str(error)

    def reset(self) -> None:
        """Remove all images; networks stay loaded."""
        self._faces: list[str] = []
        self._per_image: dict[str, list[float]] = {}
        self._sets: dict[str, Accumulator] = {}

    @torch.inference_mode()
    def update(
        self,
        sr: Tensor,
        hr: Tensor,
        landmarks: Tensor | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        """Measure a batch.

        Args:
            sr: images (B, 3, H, W); values outside [0, 1] are clamped.
            hr: images (B, 3, H, W) in [0, 1].
            landmarks: five points of the HR faces, (B, 5, 2), in pixels; needed for `identity` and
                colour metrics.
            names: names of the faces; default: their numbers.

        Raises:
            ConfigError: the shapes differ, or a metric needs landmarks and none are given.
        """
        if sr.shape != hr.shape or sr.ndim != 4 or sr.shape[1] != 3:
            raise ConfigError(
                f"expected SR and HR images of one shape (B, 3, H, W), got {tuple(sr.shape)} "
                f"and {tuple(hr.shape)}"
            )
        self.load()
        sr = sr.to(self._device).float().clamp(0, 1).mul(255).round().div(255)
        hr = hr.to(self._device)  # stays the same object if it is on the device already
        for metric in self._metrics:
            if metric.name in self.unavailable:
                continue
            try:
                # Otherwise the caller's autocast would compute SSIM's variances in bf16.
                with torch.autocast(torch.device(self._device).type, enabled=False):
                    self._measure(metric, sr, hr, landmarks)
            except MetricUnavailable as error:
                self.unavailable[metric.name] = str(error)
        first = len(self._faces)
        self._faces.extend(names or [str(first + i) for i in range(len(sr))])

    def _measure(self, metric: Metric, sr: Tensor, hr: Tensor, landmarks: Tensor | None) -> None:
        if isinstance(metric, ImageMetric):
            values = metric.per_image(sr, hr, landmarks).double().tolist()
            self._per_image.setdefault(metric.name, []).extend(values)
        elif isinstance(metric, SetMetric):
            self._sets.setdefault(metric.name, metric.start()).add(sr, hr)

    def compute(self) -> Scores:
        """The results since the last `reset`, without metrics that became unavailable since.

        Raises:
            ConfigError: no image was measured.
        """
        if not self._faces:
            raise ConfigError("expected at least one image to measure, got none")
        per_set = {}
        for name, images in self._sets.items():
            if name in self.unavailable:
                continue
            try:
                per_set[name] = images.compute()
            except MetricUnavailable as error:
                self.unavailable[name] = str(error)
        per_image = {k: v for k, v in self._per_image.items() if k not in self.unavailable}
        return Scores(list(self._faces), per_image, per_set)
