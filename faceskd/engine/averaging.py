"""Exponential moving average of the trained weights of a network."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from faceskd.common.errors import ConfigError


class WeightAverage(nn.Module):
    """average <- decay * average + (1 - decay) * weight, after every step.

    Only trained parameters are averaged. A teacher's frozen encoder and its dictionary are not
    copied. Early in training, the decay is (1 + step) / (10 + step), so that the random initial
    weights soon have no influence. The averages are buffers, so they are part of checkpoints.

    Lightning's `WeightAveraging` (2.6) cannot be used here. It copies the whole module, including
    teacher, dictionary and losses, and averages discriminators and buffers (spectral norms, step
    counts), too. Its checkpoints hold the average as `state_dict`, and are loaded by a strict
    `load_state_dict`, which fails because our checkpoints leave out frozen parts.

    Raises:
        ConfigError: a decay outside [0, 1).
    """

    step: Tensor

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        super().__init__()
        if not isinstance(decay, (int, float)) or not 0 <= decay < 1:
            raise ConfigError(f"expected average_decay from 0 to below 1, got {decay!r}")
        self.decay = decay
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        for name, parameter in self._trained(network):
            self.register_buffer(name, parameter.detach().clone())

    @staticmethod
    def _trained(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
        """Trained parameters. Names of buffers cannot contain dots, so "/" replaces them."""
        for name, parameter in network.named_parameters():
            if parameter.requires_grad:
                yield name.replace(".", "/"), parameter

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Include the current weights of the network in the average."""
        self.step += 1
        step = int(self.step)
        decay = min(self.decay, (1 + step) / (10 + step))
        pairs = [(self.get_buffer(name), value) for name, value in self._trained(network)]
        averages, values = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        torch._foreach_lerp_(averages, values, 1 - decay)

    @contextmanager
    def swapped(self, network: nn.Module) -> Iterator[None]:
        """Within the block, the network has the averaged weights."""
        self._swap(network)
        try:
            yield
        finally:
            self._swap(network)

    @torch.no_grad()
    def _swap(self, network: nn.Module) -> None:
        for name, parameter in self._trained(network):
            average = self.get_buffer(name)
            parameter.data, average.data = average.data, parameter.data
