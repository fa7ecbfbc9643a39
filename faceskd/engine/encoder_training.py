"""The base class for training encoders: one optimiser, stepped by Lightning."""

from pathlib import Path
from typing import Any

from torch import nn

from faceskd.common.checks import check_whole_or_none
from faceskd.engine.resumable import OptimizerFactory, Resumable, SchedulerFactory, one_optimizer
from faceskd.models.frozen import frozen_parts
from faceskd.models.vgg import VGG19


class EncoderTraining(Resumable):
    """Trains an encoder. Subclasses define the loss.

    Args:
        encoder: encoder to train.
        optimizer, scheduler: see `Engine`.
        crop: side of the random squares to train on, in pixels; None: whole images.

    Raises:
        ConfigError: the crop is smaller than a cell of the deepest feature map.
    """

    product = "encoder"

    def __init__(
        self,
        *,
        encoder: VGG19,
        optimizer: OptimizerFactory,
        scheduler: SchedulerFactory | None = None,
        crop: int | None = 128,
    ) -> None:
        super().__init__()
        check_whole_or_none(encoder.feature_info[-1].stride, **{"engine.crop": crop})
        self.encoder = encoder
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.crop = crop

    def write(self, path: Path, metadata: dict[str, Any]) -> None:
        self.encoder.save(path, metadata)

    def configure_optimizers(self) -> Any:
        # They include the encoder's fixed normalisation. It gets no gradient, but the optimiser's
        # state in checkpoints of release 0.1 counts it.
        parameters = self._parameters_outside_frozen()
        return one_optimizer(parameters, self.make_optimizer, self.make_scheduler)

    def _parameters_outside_frozen(self) -> list[nn.Parameter]:
        frozen = tuple(f"{name}." for name in frozen_parts(self))
        return [value for name, value in self.named_parameters() if not name.startswith(frozen)]
