"""The base class of all trainings: optimisers, averaging, validation, checkpoints."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faceskd.common.checks import check_positive
from faceskd.common.errors import WeightsError
from faceskd.engine.averaging import WeightAverage
from faceskd.engine.resumable import (
    OTHER_TRAINING,
    OptimizerFactory,
    Resumable,
    SchedulerFactory,
    build_by,
    trained_parameters,
)
from faceskd.losses import WeightedSum
from faceskd.metrics import MetricSuite
from faceskd.models import SuperResolver
from faceskd.models.blocks import bicubic
from faceskd.models.frozen import frozen
from faceskd.models.registry import to_stored
from faceskd.models.weights import dictionary_record, save_network

Batch = Mapping[str, Tensor]


def inputs(network: SuperResolver, batch: Batch) -> dict[str, Tensor]:
    """Network inputs in training. A privileged network also gets the HR faces.

    Photographs without faces have no boxes.
    """
    names = ("lr", "boxes", "hr") if network.privileged else ("lr", "boxes")
    return {name: batch[name] for name in names if name in batch}


class Engine(Resumable):
    """Trains a network. Subclasses add the loss terms that need a discriminator or a teacher.

    Optimisation is manual (in Lightning's sense) in all subclasses: one step of the network and one
    of the discriminator per batch. Lightning's `global_step` counts the steps of all optimisers;
    `self.steps` counts the steps of the network.

    Args:
        network: network to train.
        model_config: config from which `build_network` builds the network; part of checkpoints.
        losses: loss terms on SR and HR images.
        optimizer: function that makes an optimiser for given parameters; it is called for the
            network and for the discriminator.
        scheduler: function that makes a scheduler for an optimiser; it is stepped after every
            batch. None: constant learning rate.
        average_decay: decay of the moving average of the weights, which is used for validation and
            export. None: no average.
        clip: largest norm of the gradient; None: no clipping.
        metrics: metrics for validation.
        discriminator_rate: learning rate of the discriminator, as a multiple of the network's.

    Attributes:
        adversarial_start: number of steps before a discriminator is used.
    """

    steps: Tensor
    adversarial_start: int = 0

    def __init__(
        self,
        *,
        network: SuperResolver,
        model_config: dict[str, Any],
        losses: WeightedSum,
        optimizer: OptimizerFactory,
        scheduler: SchedulerFactory | None = None,
        average_decay: float | None = 0.999,
        clip: float | None = 1.0,
        metrics: tuple[str, ...] = ("psnr", "ssim", "lpips_squeeze"),
        discriminator_rate: float = 1.0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.model_config = model_config
        self.losses = frozen(losses)
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.average = (
            WeightAverage(network, decay=average_decay) if average_decay is not None else None
        )
        if clip is not None:
            check_positive(**{"engine.clip": clip})
        self.clip = clip
        check_positive(**{"engine.discriminator_rate": discriminator_rate})
        self.discriminator_rate = discriminator_rate
        self.discriminator: nn.Module | None = None
        self.suite = MetricSuite(list(metrics))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    @property
    def trained_steps(self) -> int:
        return int(self.steps)

    # Subclasses may override these methods.

    def generator_parameters(self) -> list[nn.Parameter]:
        """The parameters of the first optimiser."""
        return trained_parameters(self.network)

    def generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Any]:
        """The loss of the network, its terms, and the input of `discriminator_loss`."""
        sr = self.network(**inputs(self.network, batch))
        total, parts = self.image_losses(sr, batch)
        return total, parts, None

    def image_losses(self, sr: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of the loss terms on SR images, and each term."""
        return self.losses(sr, batch["hr"])

    def discriminator_loss(self, kept: Any) -> Tensor:
        """The loss of the discriminator, from the last return value of `generator_loss`."""
        raise RuntimeError(f"{type(self).__name__} has a discriminator but no loss for it")

    def uses_discriminator(self) -> bool:
        """Whether there is a discriminator, and it is used in this step."""
        return self.discriminator is not None and int(self.steps) >= self.adversarial_start

    # One step.

    def training_step(self, batch: Batch, batch_index: int) -> None:
        optimizers = self.optimizers()
        optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        with self.toggled_optimizer(optimizers[0]):
            loss, parts, kept = self.generator_loss(batch)
            self._descend(optimizers[0], loss, "loss")
        logs = {"loss": loss.detach(), **{name: part.detach() for name, part in parts.items()}}
        if self.uses_discriminator():
            with self.toggled_optimizer(optimizers[1]):
                discriminator_loss = self.discriminator_loss(kept)
                self._descend(optimizers[1], discriminator_loss, "discriminator loss")
            logs["discriminator"] = discriminator_loss.detach()
        self._step_schedulers()
        self.steps += 1
        if self.average is not None:
            self.average.update(self.network)
        self.log_dict({f"train/{name}": value for name, value in logs.items()})
        self.log("loss", logs["loss"], prog_bar=True, logger=False)

    def _descend(self, optimizer: Any, loss: Tensor, name: str) -> None:
        self.check_loss(loss, name)
        optimizer.zero_grad()
        self.manual_backward(loss)
        if self.clip is not None:
            self.clip_gradients(optimizer, self.clip, "norm")
        optimizer.step()

    def _step_schedulers(self) -> None:
        """Step all schedulers: that of a discriminator that starts late ends with the others."""
        schedulers = self.lr_schedulers() or []
        schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
        for scheduler in schedulers:
            scheduler.step()  # type: ignore[call-arg]

    def configure_optimizers(self) -> Any:
        parts = [self.generator_parameters()]
        if self.discriminator is not None:
            parts.append(trained_parameters(self.discriminator))
        optimizers = [build_by(self.make_optimizer, part, "engine.optimizer") for part in parts]
        for group in (group for one in optimizers[1:] for group in one.param_groups):
            group["lr"] *= self.discriminator_rate
        if self.make_scheduler is None:
            return optimizers
        make = self.make_scheduler
        return optimizers, [build_by(make, one, "engine.scheduler") for one in optimizers]

    # Validation, with the averaged weights.

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block, the network has its averaged weights, if they are computed."""
        if self.average is None:
            yield
        else:
            with self.average.swapped(self.network):
                yield

    def on_validation_epoch_start(self) -> None:
        self.suite.reset()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self.suite.update(self.restored(batch).cpu(), batch["hr"].cpu())

    def restored(self, batch: Batch) -> Tensor:
        """The SR images of the averaged weights, for validation and pictures."""
        with self.averaged():
            return self.network(batch["lr"], batch.get("boxes"))

    def on_validation_epoch_end(self) -> None:
        figures = self.suite.compute().summary()
        self.log_dict(
            {f"val/{name}": value for name, value in figures.items()},
            prog_bar=True,
            sync_dist=True,
        )

    def pictures(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        sr = self.restored(batch)
        bicubic_sr = bicubic(batch["lr"], self.network.scale)
        return {"LR": batch["lr"], "bicubic": bicubic_sr, "SR": sr.float(), "HR": batch["hr"]}

    # Files.

    def write(self, path: Path, metadata: dict[str, Any]) -> None:
        with self.averaged():
            save_network(path, self.network, self.model_config, metadata)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        metadata: dict[str, Any] = {"steps": int(self.steps), "engine": type(self).__name__}
        metadata |= dictionary_record(self.network, self.model_config)
        model = to_stored(self.model_config)
        checkpoint["hyper_parameters"] = {"model": model, "metadata": metadata}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        came = checkpoint["hyper_parameters"]["metadata"].get("dictionary", {}).get("sha256", "")
        if came != self.network.dictionary_sha256:
            raise WeightsError(
                f"{OTHER_TRAINING}: expected the dictionary of SHA-256 {came[:16]}..., got "
                f"{self.network.dictionary_sha256[:16]}..."
            )
