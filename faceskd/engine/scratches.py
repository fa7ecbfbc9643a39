"""Training the scratch detector on generated damage."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faceskd.common.images import LUMA
from faceskd.engine.base import Batch
from faceskd.engine.resumable import OptimizerFactory, Resumable, SchedulerFactory, one_optimizer
from faceskd.losses import WeightedSum
from faceskd.models.scratches import ScratchNet


class ScratchTraining(Resumable):
    """Trains a detector of structural damage.

    After Wan et al., CVPR 2020, section 3.3, but on generated damage only: photos whose scratches
    somebody marked are not needed. Validation reports precision, recall and their harmonic mean
    (the Dice coefficient, `val/dice`), over all pixels, at a probability of 0.5.

    Args:
        detector: network to train.
        losses: loss terms on logits and masks.
        optimizer, scheduler: see `Engine`.
    """

    product = "detector"
    needs = ("lr", "mask")
    hits: Tensor
    found: Tensor
    damaged: Tensor

    def __init__(
        self,
        *,
        detector: ScratchNet,
        losses: WeightedSum,
        optimizer: OptimizerFactory,
        scheduler: SchedulerFactory | None = None,
    ) -> None:
        super().__init__()
        self.detector = detector
        self.losses = losses
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        for name in ("hits", "found", "damaged"):
            self.register_buffer(name, torch.zeros((), dtype=torch.double), persistent=False)

    def write(self, path: Path, metadata: dict[str, Any]) -> None:
        self.detector.save(path, metadata)

    def configure_optimizers(self) -> Any:
        parameters = list(self.detector.parameters())
        return one_optimizer(parameters, self.make_optimizer, self.make_scheduler)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        loss, parts = self.losses(self.detector(batch["lr"]), batch["mask"])
        self.check_loss(loss)
        self.log_dict({f"train/{name}": part.detach() for name, part in parts.items()})
        self.log("loss", loss, prog_bar=True, batch_size=len(batch["lr"]))
        return loss

    def on_validation_epoch_start(self) -> None:
        for count in (self.hits, self.found, self.damaged):
            count.zero_()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        found, damaged = self.detector(batch["lr"]) > 0, batch["mask"] > 0
        self.hits += (found & damaged).sum()
        self.found += found.sum()
        self.damaged += damaged.sum()

    def on_validation_epoch_end(self) -> None:
        figures = {
            "precision": self.hits / self.found.clamp(min=1),
            "recall": self.hits / self.damaged.clamp(min=1),
            "dice": 2 * self.hits / (self.found + self.damaged).clamp(min=1),
        }
        self.log_dict(
            {f"val/{name}": value.float() for name, value in figures.items()},
            prog_bar=True, sync_dist=True,
        )  # fmt: skip

    def pictures(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        share = torch.sigmoid(self.detector(batch["lr"]).float())
        mask, found = (x.expand(-1, len(LUMA), -1, -1) for x in (batch["mask"], share))
        return {"photo": batch["lr"], "damage": mask, "found": found}
