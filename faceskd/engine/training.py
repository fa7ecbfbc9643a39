"""One training, from its config to weights on disk."""

import logging
import shutil
import signal
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, open_dict
from pytorch_lightning.utilities.exceptions import SIGTERMException

from faceskd.common.config import instantiate, to_plain
from faceskd.common.errors import ConfigError, MissingExtraError, WeightsError
from faceskd.common.files import make_folder
from faceskd.data.dataset import FaceData
from faceskd.engine import Autoencoder, Engine
from faceskd.engine.callbacks import TimeSlice
from faceskd.engine.checkpoint_io import AtomicCheckpointIO
from faceskd.models import Ensemble, SuperResolver
from faceskd.models.blocks import unfuse
from faceskd.models.vgg_weights import save_vgg_weights
from faceskd.models.weights import (
    build_network,
    load_network,
    load_state,
    read_weights,
    save_network,
)
from faceskd.reporting.curves import plot_curves

LAST_CHECKPOINT = "last.ckpt"


@dataclass(frozen=True)
class Trained:
    """What a training gives back.

    Attributes:
        weights: the file to use from now on.
        metrics: the last validation's figures.
        checkpoint: to go on from.
    """

    weights: Path
    metrics: dict[str, float]
    checkpoint: Path


def train(cfg: DictConfig) -> Trained:
    """Train what `conf/train.yaml` and its overrides describe.

    With `resume=true` the run goes on from its last checkpoint, and repeats what it would have
    done without the interruption.

    Raises:
        FaceskdError: faces, weights or dictionary are missing or do not fit; a loss diverged.
    """
    _refuse_parallel_sweeps(cfg)
    _quieten()
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    if cfg.threads is not None:
        torch.set_num_threads(cfg.threads)
    out = make_folder(cfg.out)
    checkpoint = out / "checkpoints" / LAST_CHECKPOINT
    if not cfg.resume:  # nothing old is to be found, should this run be broken off
        checkpoint.unlink(missing_ok=True)
        shutil.rmtree(out / "csv", ignore_errors=True)
    epoch = steps_per_epoch(cfg)
    data: FaceData = instantiate(cfg.data, steps_per_epoch=epoch)
    engine = build_engine(cfg)
    trainer = build_trainer(cfg, epochs=cfg.steps // epoch)
    resume = str(checkpoint) if checkpoint.is_file() else None
    try:
        trainer.fit(engine, data, ckpt_path=resume, weights_only=True)
    except SIGTERMException:  # its own exit status is that of a success
        raise SystemExit(128 + signal.SIGTERM) from None
    if trainer.interrupted:
        raise KeyboardInterrupt
    weights = out / "weights.safetensors"
    if trainer.is_global_zero:
        save_weights(engine, weights, cfg)
        plot_curves(out / "csv", out / "curves.png")
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    return Trained(weights, metrics, checkpoint)


def steps_per_epoch(cfg: DictConfig) -> int:
    """Batches between two checkpoints; what Lightning calls an epoch.

    Raises:
        ConfigError: the steps are not a whole number of epochs.
    """
    steps, epoch = cfg.steps, min(cfg.steps, cfg.data.steps_per_epoch)
    if epoch < 1:
        raise ConfigError(
            f"expected steps and data.steps_per_epoch of at least 1, got {steps} and "
            f"{cfg.data.steps_per_epoch}"
        )
    if steps % epoch:
        raise ConfigError(
            f"expected steps as a multiple of data.steps_per_epoch, {epoch}, got {steps}"
        )
    return epoch


def build_trainer(cfg: DictConfig, *, epochs: int) -> pl.Trainer:
    """The Lightning trainer of a config, with its callbacks and loggers."""
    callbacks = [instantiate(config) for config in (cfg.callbacks or {}).values() if config]
    if cfg.trainer.max_time is not None:
        callbacks.append(TimeSlice(cfg.trainer.max_time))
    return instantiate(
        cfg.trainer,
        max_time=None,
        max_epochs=epochs,
        default_root_dir=str(cfg.out),
        callbacks=callbacks,
        logger=_build_loggers(cfg.logger) or False,
        plugins=[AtomicCheckpointIO()],
        use_distributed_sampler=False,  # the data module deals faces out to processes itself
    )


def build_engine(cfg: DictConfig) -> Engine | Autoencoder:
    """The Lightning module of a config, with its network and, if it distils, its teacher."""
    if cfg.get("model") is None:
        if cfg.init is not None:
            raise ConfigError("init is for networks: an encoder starts from engine.encoder.weights")
        return instantiate(cfg.engine)
    model_config = to_plain(cfg.model)
    network = build_network(model_config)
    if cfg.init is not None:
        warm_start(network, cfg.init)
    parts: dict[str, Any] = {"network": network, "losses": instantiate(cfg.losses)}
    if "teacher" in cfg.engine:
        parts["teacher"] = load_teacher(cfg.engine.teacher, cfg.teacher_dictionary)
    engine = cfg.engine.copy()
    with open_dict(engine):
        engine.pop("teacher", None)
    # The model's config stays what it is; Hydra would build a network from it.
    factory = instantiate(engine, _partial_=True)
    return factory(model_config=model_config, **parts)


def load_teacher(files: str | ListConfig, dictionary: str | None) -> SuperResolver:
    """The network of a weights file, or the `Ensemble` of several."""
    if isinstance(files, str):
        return load_network(files, dictionary)
    return Ensemble(networks=[load_network(file, dictionary) for file in files])


def warm_start(network: SuperResolver, path: Path | str) -> None:
    """Start from another network's weights: those of the same name and shape.

    Fused weights, as those that come with the package, become what they were fused from.

    Raises:
        WeightsError: nothing matches.
    """
    given = read_weights(path).state
    unfuse(network, given)
    own = network.state_dict()
    matching = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not matching:
        raise WeightsError(f"no tensor in {str(path)!r} fits a {type(network).__name__}")
    load_state(network, own | matching, str(path))


def save_weights(engine: Engine | Autoencoder, path: Path, cfg: DictConfig) -> None:
    """Write what was trained, averaged where there is an average, as safetensors."""
    if isinstance(engine, Autoencoder):
        save_vgg_weights(engine.encoder, path)
        return
    metadata = {
        "name": cfg.name,
        "steps": int(engine.steps),
        "batch_size": cfg.data.batch_size,
        "faces": len(engine.trainer.datamodule.train),  # type: ignore[attr-defined]
        "seed": cfg.seed,
        "torch": torch.__version__,
    }
    with engine.averaged():
        save_network(path, engine.network, engine.model_config, metadata)


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
