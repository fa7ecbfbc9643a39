"""One training, from its config to weights on disk."""

import logging
import shutil
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra.utils
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException
from rich.console import Console

from faceskd.common.checks import check_positive, check_whole
from faceskd.common.config import instantiate
from faceskd.common.errors import ConfigError, MissingExtraError, reason
from faceskd.common.files import make_folder
from faceskd.data.stream import StreamData
from faceskd.engine.building import build_engine
from faceskd.engine.callbacks import TimeSlice
from faceskd.engine.checkpoint_io import AtomicCheckpointIO
from faceskd.engine.resumable import Resumable
from faceskd.engine.run_record import RECORD, RunRecord
from faceskd.reporting.curves import plot_curves

LAST_CHECKPOINT = "last.ckpt"
STORED = "stored"
"""`resume=stored`: go on with the settings that the run was started with."""


@dataclass(frozen=True)
class Trained:
    """What a training gives back.

    Attributes:
        weights: the file to use from now on; None where the time was up before the last step.
        metrics: the last validation's figures.
        checkpoint: to go on from.
        steps: of the network, so far.
        planned_steps: what the config asks for.
    """

    weights: Path | None
    metrics: dict[str, float]
    checkpoint: Path
    steps: int
    planned_steps: int


def train(cfg: DictConfig) -> Trained:
    """Train what `conf/train.yaml` and its overrides describe.

    With `resume=true` the run goes on from its last checkpoint, and repeats what it would have
    done without the interruption. It may be given more steps, and follows the schedule of the
    longer run from there; any other setting that matters must be as it was.

    Raises:
        FaceskdError: faces, weights or dictionary are missing or do not fit; a setting is
            impossible, or not that of the run that is resumed; a loss diverged.
    """
    check_settings(cfg)
    _quieten()
    out = make_folder(cfg.out)
    weights, checkpoint = out / "weights.safetensors", out / "checkpoints" / LAST_CHECKPOINT
    cfg = prepare_folder(cfg, out, checkpoint, weights)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    epoch = steps_per_epoch(cfg)
    data: StreamData = instantiate(cfg.data, steps_per_epoch=epoch)
    engine = build_engine(cfg)
    trainer = build_trainer(cfg, epochs=cfg.steps // epoch)
    fit(trainer, engine, data, checkpoint)
    slices = [c for c in trainer.callbacks if isinstance(c, TimeSlice)]  # type: ignore[attr-defined]
    time_is_up = any(one.is_over for one in slices)
    whole = engine.trained_steps >= cfg.steps or not time_is_up
    if trainer.is_global_zero:
        if whole:
            engine.write(weights, weights_metadata(engine, data, cfg))
        plot_curves(out / "csv", out / "curves.png")
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return Trained(weights if whole else None, metrics, checkpoint, engine.trained_steps, cfg.steps)


def prepare_folder(cfg: DictConfig, out: Path, checkpoint: Path, weights: Path) -> DictConfig:
    """Leave in a run's folder only what belongs to the run; the config that it goes on with.

    Raises:
        ConfigError: see `resumed_config`.
    """
    if not cfg.resume:
        checkpoint.unlink(missing_ok=True)
    if checkpoint.is_file():
        cfg = resumed_config(cfg, out)
    else:  # nothing old is to be found, should this run be broken off
        weights.unlink(missing_ok=True)
        shutil.rmtree(out / "csv", ignore_errors=True)
    RunRecord.of(cfg).write(out)
    return cfg


def fit(trainer: pl.Trainer, engine: Resumable, data: StreamData, checkpoint: Path) -> None:
    """Train, from the checkpoint where there is one.

    Raises:
        SystemExit: the process was told to end; its status says so.
        KeyboardInterrupt: the user ended it.
    """
    resume = str(checkpoint) if checkpoint.is_file() else None
    try:
        trainer.fit(engine, data, ckpt_path=resume, weights_only=True)
    except SIGTERMException:  # its own exit status is that of a success
        raise SystemExit(128 + signal.SIGTERM) from None
    if trainer.interrupted:
        raise KeyboardInterrupt


def resumed_config(cfg: DictConfig, out: Path) -> DictConfig:
    """The config that the run in `out` goes on with.

    Raises:
        ConfigError: `cfg` is not that of the run, and `resume=stored` was not asked for.
    """
    record = RunRecord.read(out)
    if record is None:
        if cfg.resume == STORED:
            raise ConfigError(f"{str(out)!r} has no {RECORD}: resume=stored has nothing to go by")
        Console(stderr=True, soft_wrap=True).print(
            f"{out} has a checkpoint but no {RECORD}, as runs of release 0.1: it is resumed as if "
            "it had been started with the present settings",
            style="yellow", markup=False,
        )  # fmt: skip
        return cfg
    if cfg.resume == STORED:
        return record.applied_to(cfg)
    record.check_same(cfg)
    return cfg


def weights_metadata(engine: Resumable, data: StreamData, cfg: DictConfig) -> dict[str, Any]:
    """What a file of weights says of its training; fewer steps than planned: it ended early."""
    return {
        "name": cfg.name,
        "steps": engine.trained_steps,
        "planned_steps": cfg.steps,
        "batch_size": cfg.data.batch_size,
        "faces": len(data.train),
        "seed": cfg.seed,
        "torch": torch.__version__,
    }


def check_settings(cfg: DictConfig) -> None:
    """Raise a ConfigError for what cannot be trained; the rest is checked where it is used."""
    check_whole(1, steps=cfg.steps, threads=cfg.threads)
    check_whole(0, seed=cfg.seed)
    for name in ("steps", "seed"):
        if cfg[name] is None:
            raise ConfigError(f"expected {name} as a whole number, got null")
    check_positive(learning_rate=cfg.learning_rate)
    if cfg.resume not in (True, False, STORED):
        raise ConfigError(f"expected resume=true, false or {STORED}, got {cfg.resume!r}")
    _refuse_parallel_sweeps(cfg)


def steps_per_epoch(cfg: DictConfig) -> int:
    """Batches between two checkpoints; what Lightning calls an epoch.

    Raises:
        ConfigError: the steps are not a whole number of epochs.
    """
    check_whole(1, **{"data.steps_per_epoch": cfg.data.steps_per_epoch})
    steps, epoch = cfg.steps, min(cfg.steps, cfg.data.steps_per_epoch)
    if steps % epoch:
        raise ConfigError(
            f"expected steps as a multiple of data.steps_per_epoch, {epoch}, got {steps}"
        )
    return epoch


def build_trainer(cfg: DictConfig, *, epochs: int) -> pl.Trainer:
    """The Lightning trainer of a config, with its callbacks and loggers."""
    callbacks = [instantiate(config) for config in (cfg.callbacks or {}).values() if config]
    loggers = _build_loggers(cfg.logger)
    try:
        if cfg.trainer.max_time is not None:
            callbacks.append(TimeSlice(cfg.trainer.max_time))
        return hydra.utils.instantiate(
            cfg.trainer,
            max_time=None,
            max_epochs=epochs,
            default_root_dir=str(cfg.out),
            callbacks=callbacks,
            logger=loggers or False,
            plugins=[AtomicCheckpointIO()],
            use_distributed_sampler=False,  # the data module deals faces out to processes itself
        )
    except (InstantiationException, MisconfigurationException) as error:
        cause = error.__cause__ or error
        raise ConfigError(f"the trainer cannot be built so: {reason(cause)}") from error


def _quieten() -> None:
    """Keep Lightning's advice on what is meant as it is, and its tips, off the screen."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")  # frozen parts
    warnings.filterwarnings("ignore", r".*does not have many workers")
    warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)")


def _build_loggers(configs: DictConfig | None) -> list[Any]:
    loggers = []
    for name, config in (configs or {}).items():
        try:
            loggers += [instantiate(config)] if config else []
        except InstantiationException as error:
            if isinstance(error.__cause__, ModuleNotFoundError):
                raise MissingExtraError(str(name), "loggers") from None
            raise
    return loggers


def _refuse_parallel_sweeps(cfg: DictConfig) -> None:
    """Hydra starts a sweep's jobs in one process, which DDP would relaunch as a whole."""
    parallel = cfg.trainer.get("devices", 1) not in (1, "1", "auto") or cfg.trainer.num_nodes > 1
    if HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN and parallel:
        raise ConfigError(
            "a multirun sweep trains one job after another in one process: expected "
            f"trainer.devices=1, got {cfg.trainer.devices}; start each job by torchrun instead"
        )
