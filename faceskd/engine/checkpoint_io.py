"""Checkpoints that are whole or absent, whenever the process is killed."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from faceskd.common.files import atomic_path


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the checkpoint and moves over it.

    Lightning writes in the system's temporary folder; where that is another disk, its move is a
    copy, and a kill amid it leaves half a checkpoint in the place of the last good one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Path | str, storage_options: Any | None = None
    ) -> None:
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)
