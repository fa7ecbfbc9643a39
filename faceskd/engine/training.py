"""Run one training, from its config to a weights file."""

import logging
import shutil
import signal
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra.utils
import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException, SIGTERMException

from faceskd.common.checks import check_positive, check_whole, check_whole_or_none
from faceskd.common.config import instantiate, is_sweep
from faceskd.common.errors import ConfigError, FaceskdError, MissingExtraError, reason
from faceskd.common.files import held, make_folder
from faceskd.common.machine import set_threads
from faceskd.common.pickles import read_pickle
from faceskd.data.stream import StreamData, steps_per_epoch
from faceskd.engine.building import build_engine, with_released_weights
from faceskd.engine.callbacks import TimeSlice
from faceskd.engine.checkpoint_io import AtomicCheckpointIO
from faceskd.engine.checks import check_training
from faceskd.engine.cycle import back_path
from faceskd.engine.messages import WARNING, say
from faceskd.engine.precision import with_precision
from faceskd.engine.resumable import Resumable
from faceskd.engine.run_record import RECORD, RunRecord
from faceskd.engine.step_profile import StepProfile
from faceskd.reporting.curves import plot_curves

LAST_CHECKPOINT = "last.ckpt"
LOCK = ".lock"
STORED = "stored"
"""`resume=stored`: resume with the settings that the run was started with."""


@dataclass(frozen=True)
class Trained:
    """The result of a training.

    Attributes:
        weights: weights file; None if the time limit was reached before the last step, or if steps
            were only profiled.
        metrics: figures of the last validation.
        checkpoint: checkpoint to resume from.
        steps: number of steps so far.
        planned_steps: number of steps in the config.
        profiled: whether `StepProfile` measured steps, instead of a training.
    """

    weights: Path | None
    metrics: dict[str, float]
    checkpoint: Path
    steps: int
    planned_steps: int
    profiled: bool = False


def train(cfg: DictConfig) -> Trained:
    """Train the network that `conf/train.yaml` and its overrides describe.

    With `resume=true` the run resumes from its last checkpoint; the result is the same as without
    the interruption. It may have more steps than before, or fewer, but not less than it has made:
    then it continues with the schedule of that length. All other settings that affect the weights
    must be the same as before.

    Raises:
        FaceskdError: faces, weights or a dictionary are missing or do not fit; a setting is invalid
            or differs from the run to resume; another process trains there; a loss diverged.
    """
    check_settings(cfg)
    cfg = with_released_weights(cfg)
    _quieten()
    out = make_folder(cfg.out)
    first = rank_zero_only.rank == 0  # type: ignore[attr-defined]

    def refuse() -> None:
        raise ConfigError(
            f"another process trains in {str(out)!r}: give this training another name, or "
            "out=FOLDER"
        )

    with held(out / LOCK, refuse) if first else nullcontext():
        return _train(cfg, out)


def _train(cfg: DictConfig, out: Path) -> Trained:
    weights, checkpoint = out / "weights.safetensors", out / "checkpoints" / LAST_CHECKPOINT
    profiled = _is_profiled(cfg)
    resumed = bool(cfg.resume) and checkpoint.is_file() and not profiled
    cfg = with_precision(cfg, out if resumed else None)
    if resumed:
        cfg = resumed_config(cfg, out, checkpoint)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    set_threads(cfg.threads)
    epoch = steps_per_epoch(cfg)
    data: StreamData = instantiate(cfg.data, steps_per_epoch=epoch)
    engine = build_engine(cfg)
    trainer = build_trainer(cfg, epochs=cfg.steps // epoch)
    check_training(engine, data.train[0], trainer, steps=cfg.steps, resumed=resumed)
    if profiled:
        fit(trainer, engine, data, None)
        return Trained(None, {}, checkpoint, engine.trained_steps, cfg.steps, profiled=True)
    if not resumed:  # what can be checked before the first step is checked by now
        delete_results(out, checkpoint, weights)
    RunRecord.of(cfg).write(out)
    fit(trainer, engine, data, checkpoint if resumed else None)
    slices = [c for c in trainer.callbacks if isinstance(c, TimeSlice)]  # type: ignore[attr-defined]
    time_is_up = any(one.is_over for one in slices)
    whole = engine.trained_steps >= cfg.steps or not time_is_up
    if trainer.is_global_zero:
        if whole:
            engine.write(weights, weights_metadata(engine, data, cfg))
        plot_curves(out / "csv", out / "curves.png")
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return Trained(weights if whole else None, metrics, checkpoint, engine.trained_steps, cfg.steps)


def _is_profiled(cfg: DictConfig) -> bool:
    """Whether `StepProfile` is among the callbacks: then nothing is resumed, replaced or kept."""
    target = f"{StepProfile.__module__}.{StepProfile.__qualname__}"
    configs = (cfg.callbacks or {}).values()
    return any(config and config.get("_target_") == target for config in configs)


def delete_results(out: Path, checkpoint: Path, weights: Path) -> None:
    """Delete what an earlier training wrote, so that it does not look like results of this one."""
    pictures = (out / "pictures").glob("epoch-*.png")
    for file in (checkpoint, weights, back_path(weights), out / "curves.png", *pictures):
        file.unlink(missing_ok=True)
    for logs in ("csv", "tensorboard"):
        shutil.rmtree(out / logs, ignore_errors=True)


def without_traceback(error: FaceskdError) -> FaceskdError:
    """An error of a loading process, whose message is a traceback, with its own message again."""
    kind = type(error)
    return kind(str(error).rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].strip())


def fit(trainer: pl.Trainer, engine: Resumable, data: StreamData, checkpoint: Path | None) -> None:
    """Train, from the checkpoint if one is given.

    Raises:
        SystemExit: the process received SIGTERM; the exit status is 128 + 15.
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    resume = None if checkpoint is None else str(checkpoint)
    try:
        trainer.fit(engine, data, ckpt_path=resume, weights_only=True)
    except SIGTERMException:  # its own exit status would mean success
        raise SystemExit(128 + signal.SIGTERM) from None
    except FaceskdError as error:
        raise without_traceback(error) from None
    except RuntimeError:  # the signal also ended a loading process, as when a group is stopped
        if trainer.received_sigterm:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    if trainer.interrupted:
        raise KeyboardInterrupt


def resumed_config(cfg: DictConfig, out: Path, checkpoint: Path) -> DictConfig:
    """The config with which the run in `out` is resumed from its checkpoint.

    Raises:
        ConfigError: the settings in `cfg` differ from those of the run, without `resume=stored`.
    """
    record = RunRecord.read(out)
    if record is None:
        if cfg.resume == STORED:
            raise ConfigError(f"expected {RECORD} in {str(out)!r} for resume=stored, found none")
        say(
            f"{out} has a checkpoint but no {RECORD}, as runs of release 0.1: it is resumed as if "
            "it had been started with the current settings",
            WARNING,
        )
        return cfg
    if cfg.resume == STORED:
        return record.applied_to(cfg)
    fewer = cfg.steps < record.config["steps"]
    record.check_same(cfg, made=_steps_made(checkpoint) if fewer else 0)
    return cfg


def _steps_made(checkpoint: Path) -> int:
    """The number of steps of a checkpoint, also of an engine with two optimisers."""
    content = read_pickle(checkpoint)
    metadata = content.get("hyper_parameters", {}).get("metadata", {})
    return metadata.get("steps", content["global_step"])


def weights_metadata(engine: Resumable, data: StreamData, cfg: DictConfig) -> dict[str, Any]:
    """The description of a training in its weights file; it may have stopped early."""
    return {
        "name": cfg.name,
        "steps": engine.trained_steps,
        "planned_steps": cfg.steps,
        "batch_size": cfg.data.batch_size,
        "faces": len(data.train),
        "seed": cfg.seed,
        "training_precision": cfg.trainer.precision,
        "torch": torch.__version__,
    }


def check_settings(cfg: DictConfig) -> None:
    """Raise a ConfigError for invalid settings. Other settings are checked where they are used."""
    check_whole(1, steps=cfg.steps)
    check_whole_or_none(1, threads=cfg.threads)
    check_whole(0, seed=cfg.seed)
    check_positive(learning_rate=cfg.learning_rate)
    if cfg.resume not in (True, False, STORED):
        raise ConfigError(f"expected resume=true, false or {STORED}, got {cfg.resume!r}")
    _refuse_parallel_sweeps(cfg)


def build_trainer(cfg: DictConfig, *, epochs: int) -> pl.Trainer:
    """The Lightning trainer of a config, with its callbacks and loggers."""
    callbacks = [instantiate(config) for config in (cfg.callbacks or {}).values() if config]
    profiled = _is_profiled(cfg)
    loggers = [] if profiled else _build_loggers(cfg.logger)
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
            **({"enable_checkpointing": False} if profiled else {}),
            plugins=[AtomicCheckpointIO()],
            use_distributed_sampler=False,  # the data module distributes the faces to the processes
        )
    except (InstantiationException, MisconfigurationException) as error:
        cause = error.__cause__ or error
        raise ConfigError(f"trainer is invalid: {reason(cause)}") from error


def _quieten() -> None:
    """Hide Lightning's tips and its warnings about things that are intended here."""
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")  # frozen parts
    warnings.filterwarnings("ignore", r".*does not have many workers")
    warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)")
    # The schedule of a discriminator that starts late runs from the first batch.
    warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler\.step\(\)` before")


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
    """Refuse DDP in a sweep: Hydra runs all jobs in one process, which DDP would start again."""
    parallel = cfg.trainer.get("devices", 1) not in (1, "1", "auto") or cfg.trainer.num_nodes > 1
    if is_sweep() and parallel:
        raise ConfigError(
            "a multirun sweep trains one job after another in one process: expected "
            f"trainer.devices=1, got {cfg.trainer.devices}; start each job by torchrun instead"
        )
