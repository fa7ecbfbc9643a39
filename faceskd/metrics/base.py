"""Base classes of metrics: one value for each image, or one value for a set of images."""

from abc import ABC, abstractmethod

from torch import Tensor

from faceskd.common.direction import Direction
from faceskd.common.errors import ConfigError, FaceskdError


class MetricUnavailable(FaceskdError):
    """A metric cannot be measured: weights or a package are missing, or images too few or small.

    The message says what is missing and how to get it.
    """


class Metric(ABC):
    """A metric with a name. The constructor loads nothing; `load` loads networks.

    Attributes:
        name: name in tables. If the metric uses a network, the name contains the network's.
        better: which values are better.
        needs_landmarks: whether the landmarks of the HR faces must be given.
    """

    name: str
    better: Direction = "higher"
    needs_landmarks: bool = False

    def load(self) -> None:  # noqa: B027 - most metrics need nothing
        """Load the networks. Further calls do nothing.

        Raises:
            MetricUnavailable: something is missing.
        """


class ImageMetric(Metric):
    """One value for each image; tables show the mean."""

    @abstractmethod
    def per_image(self, sr: Tensor, hr: Tensor, landmarks: Tensor | None) -> Tensor:
        """Values (B,) for SR images compared with HR images, both (B, 3, H, W) in [0, 1].

        `landmarks` are the five points (B, 5, 2) of the HR faces, in pixels.
        """


def check_landmarks(landmarks: Tensor | None, name: str) -> Tensor:
    """Check that the five landmarks are given, and return them.

    Raises:
        ConfigError: there are no landmarks, or their shape is not (B, 5, 2).
    """
    if landmarks is None or landmarks.shape[1:] != (5, 2):
        came = None if landmarks is None else tuple(landmarks.shape)
        raise ConfigError(f"{name} expects landmarks of shape (B, 5, 2), got {came}")
    return landmarks


class Accumulator(ABC):
    """Collects a set of images, batch by batch."""

    @abstractmethod
    def add(self, sr: Tensor, hr: Tensor) -> None:
        """Add a batch of SR and HR images, (B, 3, H, W) in [0, 1]."""

    @abstractmethod
    def compute(self) -> float:
        """The value for all images so far."""


class SetMetric(Metric):
    """One value for a whole set of images."""

    @abstractmethod
    def start(self) -> Accumulator:
        """An empty accumulator."""
