"""What a metric is: a figure for each image, or one figure for a set of images."""

from abc import ABC, abstractmethod
from typing import Literal

from torch import Tensor

from faceskd.common.errors import ConfigError, FaceskdError

Direction = Literal["higher", "lower", "reference"]
"""What is better: more, less, or the nearest to what the HR images have."""


class MetricUnavailable(FaceskdError):
    """A metric cannot be measured here: missing weights or package, images too few or too small.

    The message says what is missing, from where it comes, and the choice without a network.
    """


class Metric(ABC):
    """A named figure. Constructing is free; `load` fetches what measuring needs.

    Attributes:
        name: the name in tables; a metric that looks through a network carries the network's.
        better: which way is better.
    """

    name: str
    better: Direction = "higher"

    def load(self) -> None:  # noqa: B027 - most metrics need nothing
        """Load networks; calling it again costs nothing.

        Raises:
            MetricUnavailable: something is missing.
        """


class ImageMetric(Metric):
    """One figure for each image, averaged over images."""

    @abstractmethod
    def per_image(self, sr: Tensor, hr: Tensor, landmarks: Tensor | None) -> Tensor:
        """The figures (B,) of SR images against HR images, both (B, 3, H, W) in [0, 1].

        `landmarks` are the five points (B, 5, 2) of the HR faces, in their pixels.
        """


def check_landmarks(landmarks: Tensor | None, name: str) -> Tensor:
    """The five points that a metric cannot do without.

    Raises:
        ConfigError: there are none, or others.
    """
    if landmarks is None or landmarks.shape[1:] != (5, 2):
        came = None if landmarks is None else tuple(landmarks.shape)
        raise ConfigError(f"{name} expects landmarks of shape (B, 5, 2), got {came}")
    return landmarks


class Accumulator(ABC):
    """Gathers a set of images, batch by batch."""

    @abstractmethod
    def add(self, sr: Tensor, hr: Tensor) -> None:
        """Take in a batch of SR and HR images, (B, 3, H, W) in [0, 1]."""

    @abstractmethod
    def compute(self) -> float:
        """The figure of all images so far."""


class SetMetric(Metric):
    """One figure for a whole set of images."""

    @abstractmethod
    def start(self) -> Accumulator:
        """An empty accumulator."""
