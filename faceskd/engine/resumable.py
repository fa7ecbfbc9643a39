"""What every training needs to go on, after an interruption, as if there had been none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
from torch import Tensor, nn

from faceskd.common.errors import ConfigError, reason
from faceskd.common.tensors import check_finite
from faceskd.engine.random_state import random_state, set_random_state
from faceskd.models.frozen import frozen_parts
from faceskd.models.weights import check_state

Built = TypeVar("Built")
OTHER_TRAINING = "the checkpoint is of another training (resume=false starts anew)"


def trained_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters of a module without those of its frozen parts."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def build_by(factory: Callable[[Any], Built], argument: Any, setting: str) -> Built:
    """What a factory of the config makes of an argument, such as an optimiser of parameters.

    Raises:
        ConfigError: it refuses one of its settings.
    """
    try:
        return factory(argument)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{setting} is impossible: {reason(error)}") from error


class Resumable(pl.LightningModule):
    """A module whose checkpoints carry the random state and leave out its frozen parts.

    A part is frozen that `faceskd.models.frozen` was told of, however deep it lies: it stays in
    eval mode, and is in no checkpoint unless it belongs to what is trained for use. A checkpoint
    that does not fit is refused before anything of it is used.

    Attributes:
        product: name of the submodule that is trained for use: a network, an encoder. Checkpoints
            hold all of it.
    """

    product: str = "network"
    _random_state: dict[str, Any] | None = None

    @property
    def trained_steps(self) -> int:
        """Steps of what is trained, over all runs."""
        return int(self.trainer.global_step)

    def write(self, path: Path, metadata: dict[str, Any]) -> None:
        """Write what was trained to a file of weights.

        Args:
            metadata: what is known of the training; JSON.
        """
        raise NotImplementedError

    def pictures(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Columns of images (B, 3, H, W) that show what was learnt so far; {} shows nothing."""
        return {}

    def train(self, mode: bool = True) -> "Resumable":
        """As usual, but frozen parts stay in eval mode."""
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
        """Raise a WeightsError where the checkpoint is of another training, or no numbers."""
        own, left_out = self.state_dict(), self._left_out()
        trained = {k: v for k, v in own.items() if not k.startswith(left_out)}
        state = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith(left_out)}
        check_state(trained, state, OTHER_TRAINING)
        check_finite(state, "the checkpoint")
        checkpoint["state_dict"] = own | state
        self._random_state = checkpoint.get("random_state")

    def on_train_start(self) -> None:
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None

    def _left_out(self) -> tuple[str, ...]:
        """How the names of tensors begin that are in no checkpoint."""
        names = (f"{name}." for name in frozen_parts(self))
        return tuple(name for name in names if not name.startswith(f"{self.product}."))
