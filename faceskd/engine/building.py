"""Build the Lightning module of a config, with its network, losses and teacher."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from faceskd.common.config import instantiate, to_plain
from faceskd.common.errors import ConfigError, WeightsError, reason
from faceskd.engine.messages import say
from faceskd.engine.resumable import Resumable
from faceskd.models import Ensemble, SuperResolver
from faceskd.models.blocks import unfuse
from faceskd.models.frozen import frozen_parts
from faceskd.models.registry import TARGETS
from faceskd.models.vgg import NO_WEIGHTS, RANDOM, VGG19
from faceskd.models.weights import build_network, load_network, load_state, read_weights
from faceskd.pretrained import weights_path


def with_released_weights(cfg: DictConfig) -> DictConfig:
    """The config with the files of released models in place of their names ("lite-m@1")."""
    cfg = cfg.copy()
    if cfg.init is not None:
        cfg.init = weights_path(cfg.init)
    teacher = cfg.engine.get("teacher")
    if isinstance(teacher, str):
        cfg.engine.teacher = weights_path(teacher)
    elif teacher is not None:
        cfg.engine.teacher = [weights_path(file) for file in teacher]
    return cfg


def build_engine(cfg: DictConfig) -> Resumable:
    """The Lightning module of a config, with its network and, for distillation, its teacher.

    Raises:
        FaceskdError: weights or a dictionary are missing or do not fit, or a setting is invalid.
    """
    check_pretrained(cfg)
    if cfg.get("model") is None:
        if cfg.init is not None:
            raise ConfigError("init is for networks: an encoder starts from engine.encoder.weights")
        return instantiate(cfg.engine)
    model_config = to_plain(cfg.model)
    taught = "teacher" in cfg.engine.keys()  # noqa: SIM118 - `in cfg.engine` leaves `???` out
    if cfg.teacher_dictionary is not None and not taught:
        raise ConfigError("teacher_dictionary is for distillation: this engine has no teacher")
    parts: dict[str, Any] = {
        "network": start_network(model_config, cfg.init),
        "losses": instantiate(cfg.losses),
    }
    if taught:
        parts["teacher"] = load_teacher(cfg.engine.get("teacher"), cfg.teacher_dictionary)
    engine = cfg.engine.copy()
    with open_dict(engine):
        engine.pop("teacher", None)
    # The model's config is passed on unchanged: Hydra would build another network from it.
    factory = instantiate(engine, _partial_=True)
    try:
        return factory(model_config=model_config, **parts)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"engine is invalid: {reason(error)}") from error


def check_pretrained(cfg: DictConfig) -> None:
    """Raise a WeightsError that names every VGG-19 in a config without weights.

    If the network starts from a file (`init`), `start_network` checks its encoder.
    """
    sections = ["losses", "engine"] + ([] if cfg.init is not None else ["model"])
    missing = [
        f"{key}.weights"
        for section in sections
        for key, config in _encoders(cfg.get(section), section)
        if config.get("weights") is None
    ]
    if missing:
        raise WeightsError(f"{' and '.join(missing)} must be given: {NO_WEIGHTS}")


def _encoders(config: Any, prefix: str) -> Iterator[tuple[str, DictConfig]]:
    if not isinstance(config, DictConfig):
        return
    if config.get("_target_") == TARGETS["vgg19"]:
        yield prefix, config
    for key in config:
        if not OmegaConf.is_missing(config, str(key)):
            yield from _encoders(config[key], f"{prefix}.{key!s}")


def start_network(model_config: dict[str, Any], init: Path | str | None) -> SuperResolver:
    """A network to train. If `init` is given, its weights come from this file.

    A dictionary is loaded last, because it must fit the encoder that the network ends up with.

    Raises:
        WeightsError: no tensor fits, or the encoder has neither weights of its own nor gets them
            from `init`.
        ConfigError: the config names other weights for a frozen encoder than `init` has.
    """
    if init is None:
        return build_network(model_config)
    encoders = {
        name: part.get("weights")
        for name, part in model_config.items()
        if isinstance(part, dict) and part.get("_target_") == TARGETS["vgg19"]
    }
    unfilled = [name for name, weights in encoders.items() if weights is None]
    dictionary = model_config.get("dictionary")
    network = build_network(
        model_config
        | {name: model_config[name] | {"weights": RANDOM} for name in unfilled}
        | ({} if dictionary is None else {"dictionary": None})
    )
    named = {name for name, weights in encoders.items() if weights not in (None, RANDOM)}
    before = _frozen_encoders(network)
    left = warm_start(network, init)
    after = _frozen_encoders(network)
    for name in sorted(named & before.keys()):
        if before[name] != after[name]:
            raise ConfigError(
                f"model.{name}.weights names another encoder than that of init={init}: set "
                f"model.{name}.weights=null to take the one of init"
            )
    for name in unfilled:
        if any(key.startswith(f"{name}.") for key in left):
            raise WeightsError(
                f"{str(init)!r} has no encoder that fits this network: model.{name}.weights must "
                f"be given: {NO_WEIGHTS}"
            )
    if dictionary is not None:
        network.load_dictionary(dictionary)
    return network


def _frozen_encoders(network: SuperResolver) -> dict[str, str]:
    """The fingerprints of the encoders that are not trained, by their names."""
    parts = frozen_parts(network).items()
    return {name: part.fingerprint() for name, part in parts if isinstance(part, VGG19)}


def warm_start(network: SuperResolver, path: Path | str) -> set[str]:
    """Copy the weights of a file into a network, as far as names and shapes are the same.

    The numbers of tensors that are copied and left out are printed to stderr.

    Fused weights, as those of the models in the package, are unfused first.

    Returns:
        The names of the network's tensors that the file does not have.

    Raises:
        WeightsError: no tensor matches.
    """
    given = read_weights(path).state
    unfused = unfuse(network, given)
    own = network.state_dict()
    matching = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not matching:
        raise WeightsError(f"no tensor in {str(path)!r} fits a {type(network).__name__}")
    load_state(network, own | matching, str(path))
    copied = len(matching.keys() | set(unfused))
    say(f"init: copied {copied} tensors of {path}, left out {len(given) - copied} that do not fit")
    return own.keys() - matching.keys()


def load_teacher(files: str | ListConfig | None, dictionary: str | None) -> SuperResolver:
    """The network of a weights file, or the `Ensemble` of several.

    Raises:
        ConfigError: no file is given, or a dictionary for networks that use none.
        FaceskdError: see `load_network`.
    """
    if not files:
        raise ConfigError(f"expected engine.teacher as a weights file, or several, got {files}")
    paths = [files] if isinstance(files, str) else list(files)
    networks = [load_network(path, dictionary) for path in paths]
    if dictionary is not None and not any(network.uses_dictionary for network in networks):
        raise ConfigError(
            f"teacher_dictionary is for a teacher with a dictionary, got {files}, a "
            f"{type(networks[0]).__name__}"
        )
    return networks[0] if isinstance(files, str) else Ensemble(networks=networks)
