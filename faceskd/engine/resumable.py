"""Resuming a training: the result is the same as without the interruption."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from faceskd.common.errors import ConfigError, FaceskdError, reason
from faceskd.common.tensors import check_finite
from faceskd.engine.random_state import random_state, set_random_state
from faceskd.models.frozen import frozen_parts
from faceskd.models.weights import check_state

Built = TypeVar("Built")
OptimizerFactory = Callable[..., Optimizer]
SchedulerFactory = Callable[[Optimizer], LRScheduler]
OTHER_TRAINING = "the checkpoint belongs to another training (resume=false starts again)"


class TrainingDivergedError(FaceskdError):
    """A loss became infinite or NaN."""


def trained_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module without those of its frozen parts."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def build_by(factory: Callable[[Any], Built], argument: Any, setting: str) -> Built:
    """Call a factory from the config, such as one that makes an optimiser for parameters.

    Raises:
        ConfigError: the factory refuses one of its settings.
    """
    try:
        return factory(argument)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{setting} is invalid: {reason(error)}") from error


def one_optimizer(
    parameters: Sequence[nn.Parameter], make: OptimizerFactory, schedule: SchedulerFactory | None
) -> Any:
    """One optimiser that Lightning steps, for `configure_optimizers`; see `Engine` for factories.

    Raises:
        ConfigError: a factory refuses one of its settings.
    """
    optimizer = build_by(make, parameters, "engine.optimizer")
    if schedule is None:
        return optimizer
    scheduler = build_by(schedule, optimizer, "engine.scheduler")
    return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


class Resumable(pl.LightningModule):
    """A module whose checkpoints contain the random state, but no frozen parts.

    Frozen parts are those marked by `faceskd.models.frozen`, at any depth. They stay in eval mode.
    Checkpoints contain them only if they are inside the product. A checkpoint that does not fit is
    refused before any of its content is used.

    Attributes:
        product: name of the submodule that the training is for: a network or an encoder.
            Checkpoints contain all of it.
        needs: names of the tensors that every item of the training data must have.
    """

    product: str = "network"
    needs: tuple[str, ...] = ("lr", "hr")
    _random_state: dict[str, Any] | None = None

    @property
    def trained_steps(self) -> int:
        """Number of steps so far, over all runs."""
        return int(self.trainer.global_step)

    def check_loss(self, loss: Tensor, name: str = "loss") -> None:
        """Raise a TrainingDivergedError if a loss is NaN or infinite, before it reaches weights."""
        if not torch.isfinite(loss):
            raise TrainingDivergedError(
                f"the {name} became {loss.item()} at step {self.trained_steps}: resume from the "
                "last checkpoint with a lower learning rate, stronger clipping or precision 32"
            )

    def write(self, path: Path, metadata: dict[str, Any]) -> None:
        """Write the trained network or encoder to a weights file.

        Args:
            path: file to write.
            metadata: description of the training; values that JSON can hold.
        """
        raise NotImplementedError

    def pictures(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Columns of the picture grid, images (B, 3, H, W) by title; {}: no pictures."""
        return {}

    def train(self, mode: bool = True) -> "Resumable":
        """As in PyTorch, but frozen parts stay in eval mode."""
        super().train(mode)
        for part in frozen_parts(self).values():
            part.eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        left_out = self._left_out()
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith(left_out)}
        checkpoint["random_state"] = random_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise a WeightsError if the checkpoint does not fit or has values that are not finite."""
        own, left_out = self.state_dict(), self._left_out()
        trained = {k: v for k, v in own.items() if not k.startswith(left_out)}
        state = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith(left_out)}
        check_state(trained, state, OTHER_TRAINING)
        check_finite(state, "the checkpoint")
        checkpoint["state_dict"] = own | state
        self._random_state = checkpoint.get("random_state")

    def on_fit_start(self) -> None:
        # Convolutions are fastest with channels_last, on CPU and GPU, most of all in bf16.
        self.to(memory_format=torch.channels_last)

    def on_train_start(self) -> None:
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None

    def _left_out(self) -> tuple[str, ...]:
        """Prefixes of the names of tensors that checkpoints leave out."""
        names = (f"{name}." for name in frozen_parts(self))
        return tuple(name for name in names if not name.startswith(f"{self.product}."))
