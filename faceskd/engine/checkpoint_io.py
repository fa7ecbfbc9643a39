"""Checkpoints that are whole or absent, whenever the process is killed."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from faceskd.common.files import atomic_path


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a new file beside the checkpoint, then replaces the checkpoint by it.

    Lightning writes into the system's temporary folder. If that is on another disk, moving the file
    means copying it, and a process killed while copying destroys the last good checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Path | str, storage_options: Any | None = None
    ) -> None:
        # Given a path, torch.save would not say that the disk is full.
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            torch.save(checkpoint, file)
