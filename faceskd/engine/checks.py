"""Checks of a training before its first step, so that what does not fit costs no time."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from faceskd.common.errors import ConfigError
from faceskd.engine.base import Engine
from faceskd.engine.messages import WARNING, say
from faceskd.engine.resumable import Resumable
from faceskd.metrics import MetricSuite
from faceskd.models import SuperResolver


def check_training(
    engine: Resumable, item: Mapping[str, Any], trainer: pl.Trainer, *, steps: int, resumed: bool
) -> None:
    """Check that the parts of a training fit together.

    Args:
        engine: what is trained.
        item: any item of the training data.
        trainer: its precision is checked.
        steps: number of steps in total.
        resumed: whether the training was started before: then its precision cannot change.

    Raises:
        ConfigError: the item lacks something, its images are of another scale than the network's,
            an optimiser or scheduler refuses its settings, a metric needs landmarks, or gradients
            would be clipped while they are scaled.
    """
    check_item(engine, item)
    engine.configure_optimizers()
    if isinstance(engine, Engine):
        check_precision(engine, trainer, resumed=resumed)
        check_metrics(engine.suite)
        if engine.discriminator is not None and engine.adversarial_start >= steps:
            say(
                f"engine.adversarial_start={engine.adversarial_start} is not below the {steps} "
                "steps: the discriminator has no effect",
                WARNING,
            )


def check_item(engine: Resumable, item: Mapping[str, Any]) -> None:
    """Check that an item has what the engine and its networks need, at the network's scale."""
    networks = {
        name: part for name, part in engine.named_children() if isinstance(part, SuperResolver)
    }
    boxed = any(network.needs_boxes for network in networks.values())
    needed = engine.needs + (("boxes",) if boxed else ())
    if not set(needed) <= item.keys():
        raise ConfigError(
            f"expected data with {', '.join(needed)} for {_described(engine, networks)}, got "
            f"{', '.join(item)}: choose other data (boxes: data=faces; masks: data=old_photos; a "
            "and b: data=unpaired)"
        )
    network = networks.get("network")
    if network is None or not {"lr", "hr"} <= set(needed):
        return
    sides, wanted = (
        tuple(factor * side for side in item[name].shape[-2:])
        for name, factor in (("hr", 1), ("lr", network.scale))
    )
    if sides != wanted:
        lr, hr = (f"{item[name].shape[-1]}x{item[name].shape[-2]}" for name in ("lr", "hr"))
        raise ConfigError(
            f"expected HR images {network.scale} times as large as LR images, as "
            f"{_described(engine, networks)} makes them, got {hr} and {lr} px: choose another "
            "degradation (paper for faces of 32 px, realsr for scale 4, photo for scale 1) or "
            "data.size"
        )


def _described(engine: Resumable, networks: Mapping[str, SuperResolver]) -> str:
    parts = [type(part).__name__ for part in (engine, *networks.values())]
    return " with ".join([parts[0], " and ".join(parts[1:])] if parts[1:] else parts)


def check_precision(engine: Engine, trainer: pl.Trainer, *, resumed: bool) -> None:
    """Raise a ConfigError if the engine would clip gradients that the precision has scaled.

    A training that was started so is resumed with a warning.
    """
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or engine.clip is None:
        return
    message = (
        "expected trainer.precision=bf16-mixed or 32-true, got 16-mixed: it scales gradients, so "
        f"that engine.clip={engine.clip} clips almost all of them (engine.clip=null does not clip)"
    )
    if not resumed:
        raise ConfigError(message)
    say(message, WARNING)


def check_metrics(suite: MetricSuite) -> None:
    """Refuse metrics that need landmarks, and say which of the others cannot be measured, and why.

    Raises:
        ConfigError: a metric needs landmarks, which the data of trainings does not have.
    """
    if suite.needing_landmarks:
        raise ConfigError(
            "expected engine.metrics without landmarks, got "
            f"{', '.join(suite.needing_landmarks)}: `faceskd evaluate` measures them"
        )
    suite.load()
    for name, problem in suite.unavailable.items():
        say(f"validation without {name}: {problem}", WARNING)
