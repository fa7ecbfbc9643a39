"""Callbacks: pictures after each validation, and a time limit."""

import re
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.loggers import TensorBoardLogger

from faceskd.common.errors import ConfigError
from faceskd.common.images import write_image
from faceskd.engine.resumable import Resumable
from faceskd.reporting.pictures import image_grid


class PictureGrid(pl.Callback):
    """After each validation, writes a grid of pictures; for networks: LR, bicubic, SR, HR.

    Args:
        folder: folder for the pictures, `epoch-0001.png` and so on.
        faces: number of rows of the grid.
    """

    def __init__(self, *, folder: Path | str, faces: int = 4) -> None:
        self.folder = Path(folder)
        self.faces = faces

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, Resumable)
        with trainer.precision_plugin.forward_context():
            columns = pl_module.pictures(self._first_faces(trainer, pl_module.device))
        if not columns:
            return
        grid = image_grid({name: images.cpu() for name, images in columns.items()})
        epoch = trainer.current_epoch + 1
        write_image(self.folder / f"epoch-{epoch:04d}.png", grid)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image("faces", grid, epoch, dataformats="HWC")

    def _first_faces(self, trainer: pl.Trainer, device: torch.device) -> dict[str, Any]:
        dataset = trainer.datamodule.val  # type: ignore[attr-defined]
        items = [dataset[index] for index in range(min(self.faces, len(dataset)))]
        tensors = [key for key, value in items[0].items() if isinstance(value, torch.Tensor)]
        return {key: torch.stack([item[key] for item in items]).to(device) for key in tensors}


class TimeSlice(Timer):
    """Stops at the first checkpoint after the time limit; the next run resumes from it.

    Lightning's own `max_time` also counts the time of earlier runs. It stops in the middle of an
    epoch, and a resumed run would skip the rest of this epoch.

    Args:
        duration: time limit, DD:HH:MM:SS.

    Raises:
        ConfigError: it is something else.
    """

    def __init__(self, duration: str) -> None:
        if not re.fullmatch(r"\d+(:\d+){3}", str(duration)):
            raise ConfigError(
                "expected trainer.max_time as days, hours, minutes and seconds, such as "
                f"00:01:30:00, got {duration!r}"
            )
        super().__init__(duration, interval="epoch", verbose=False)

    @property
    def is_over(self) -> bool:
        """Whether the time limit is reached."""
        left = self.time_remaining()
        return left is not None and left <= 0

    def state_dict(self) -> dict[str, Any]:
        """Nothing is stored: a resumed run has the whole duration again."""
        return {}

    def on_fit_start(self, *_: Any, **__: Any) -> None:
        """No check here: every run trains at least one epoch."""
