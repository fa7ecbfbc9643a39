"""Between two trainings of one network: a weighted mean of their weights.

Network interpolation (Wang et al., "ESRGAN", ECCV Workshops 2018, section 3.4). The second training
must have started from the first. If it added texture, the share trades closeness for texture.
"""

from pathlib import Path

import torch
from torch import Tensor

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse, settle
from faceskd.models.weights import (
    StoredNetwork,
    build_network,
    check_state,
    load_state,
    read_weights,
)

SIZE = "size"
"""Option of networks for any size: that of the frames they are trained for, px."""


def mixed(
    first: Path | str, second: Path | str, share: float
) -> tuple[SuperResolver, StoredNetwork]:
    """The network of (1 - share) times the first weights plus share times the second.

    Args:
        first, second: weights files of the same architecture. Networks for any size may have been
            trained at two sizes; the result is for the larger.
        share: weight of the second, in [0, 1].

    Returns:
        The network, in eval mode, and what the second file holds.

    Raises:
        ConfigError: the share is outside [0, 1], or the networks are teachers, whose mixtures were
            worse than both.
        WeightsError: a file is missing or damaged, or the architectures differ.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"expected a share in [0, 1], got {share}")
    start, end = read_weights(first), read_weights(second)
    largest: dict[str, int] = {}
    if SIZE in start.config and SIZE in end.config:
        largest = {SIZE: max(start.config[SIZE], end.config[SIZE])}
    config = end.config | largest
    if start.config | largest != config:
        raise WeightsError(
            f"expected weights of one architecture, got those of two: {first} and {second}"
        )
    check_state(start.state, end.state, f"{second} has other weights than {first}")
    network = build_network(config, pretrained=False)
    if network.uses_dictionary:
        raise ConfigError(f"expected weights of a student, got weights of a teacher: {second}")
    between = {name: _mix(value, end.state[name], share) for name, value in start.state.items()}
    if end.metadata.get("fused", end.metadata.get("folded")):  # "folded" in files of 0.1
        network = fuse(network)
    load_state(network, between, f"{first} and {second}")
    if 0 < share < 1:  # the norm of a mean of weights is not the mean of their norms
        settle(network)
    return network.eval(), end


def _mix(first: Tensor, second: Tensor, share: float) -> Tensor:
    if not first.is_floating_point() or torch.equal(first, second):
        return second
    return torch.lerp(first.float(), second.float(), share)
