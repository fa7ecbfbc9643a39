"""What every training needs to go on, after an interruption, as if there had been none."""

from typing import Any

import pytorch_lightning as pl

from faceskd.engine.random_state import random_state, set_random_state
from faceskd.models.weights import check_state

OTHER_TRAINING = "the checkpoint is of another training (resume=false starts anew)"


class Resumable(pl.LightningModule):
    """A module whose checkpoints carry the random state and leave out what is never trained.

    A checkpoint that does not fit is refused before anything of it is used.
    """

    _random_state: dict[str, Any] | None = None

    def frozen_parts(self) -> tuple[str, ...]:
        """Submodules that are never trained: kept in eval mode and out of checkpoints."""
        return ()

    def train(self, mode: bool = True) -> "Resumable":
        """As usual, but frozen parts stay in eval mode."""
        super().train(mode)
        for name in self.frozen_parts():
            getattr(self, name).eval()
        return self

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not self._is_frozen(k)}
        checkpoint["random_state"] = random_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise a WeightsError where the checkpoint is of another training."""
        state, own = checkpoint["state_dict"], self.state_dict()
        trained = {k: v for k, v in own.items() if not self._is_frozen(k)}
        check_state(trained, state, OTHER_TRAINING)
        checkpoint["state_dict"] = own | state
        self._random_state = checkpoint.get("random_state")

    def on_train_start(self) -> None:
        if self._random_state is not None:
            set_random_state(self._random_state)
            self._random_state = None

    def _is_frozen(self, key: str) -> bool:
        return key.startswith(tuple(f"{name}." for name in self.frozen_parts()))
