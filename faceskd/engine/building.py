"""From a config to the Lightning module that trains, with its network, losses and teacher."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from faceskd.common.config import instantiate, to_plain
from faceskd.common.errors import ConfigError, WeightsError, reason
from faceskd.engine.resumable import Resumable
from faceskd.models import Ensemble, SuperResolver
from faceskd.models.blocks import unfuse
from faceskd.models.registry import TARGETS
from faceskd.models.vgg import NO_WEIGHTS, RANDOM
from faceskd.models.weights import build_network, load_network, load_state, read_weights


def build_engine(cfg: DictConfig) -> Resumable:
    """The Lightning module of a config, with its network and, if it distils, its teacher.

    Raises:
        FaceskdError: weights or a dictionary are missing or do not fit, or a setting is impossible.
    """
    check_pretrained(cfg)
    if cfg.get("model") is None:
        if cfg.init is not None:
            raise ConfigError("init is for networks: an encoder starts from engine.encoder.weights")
        return instantiate(cfg.engine)
    model_config = to_plain(cfg.model)
    parts: dict[str, Any] = {
        "network": start_network(model_config, cfg.init),
        "losses": instantiate(cfg.losses),
    }
    if "teacher" in cfg.engine:
        parts["teacher"] = load_teacher(cfg.engine.teacher, cfg.teacher_dictionary)
    engine = cfg.engine.copy()
    with open_dict(engine):
        engine.pop("teacher", None)
    # The model's config stays what it is; Hydra would build a network from it.
    factory = instantiate(engine, _partial_=True)
    try:
        return factory(model_config=model_config, **parts)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"engine is impossible: {reason(error)}") from error


def check_pretrained(cfg: DictConfig) -> None:
    """Raise a WeightsError that names each VGG-19 of a config that has no weights.

    The network's own encoder is left to `start_network` where it starts from a file.
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
    """A network that is to be trained, from the weights of `init` where there is such a file.

    Raises:
        WeightsError: nothing fits; or an encoder without weights of its own gets none from `init`.
    """
    if init is None:
        return build_network(model_config)
    unfilled = [
        name
        for name, part in model_config.items()
        if isinstance(part, dict)
        and part.get("_target_") == TARGETS["vgg19"]
        and part.get("weights") is None
    ]
    network = build_network(
        model_config | {name: model_config[name] | {"weights": RANDOM} for name in unfilled}
    )
    left = warm_start(network, init)
    for name in unfilled:
        if any(key.startswith(f"{name}.") for key in left):
            raise WeightsError(
                f"{str(init)!r} has no encoder that fits this network: model.{name}.weights must "
                f"be given: {NO_WEIGHTS}"
            )
    return network


def warm_start(network: SuperResolver, path: Path | str) -> set[str]:
    """Start from another network's weights: those of the same name and shape.

    Fused weights, as those that come with the package, become what they were fused from.

    Returns:
        The names of the tensors that the file does not have.

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
    return own.keys() - matching.keys()


def load_teacher(files: str | ListConfig, dictionary: str | None) -> SuperResolver:
    """The network of a weights file, or the `Ensemble` of several."""
    if isinstance(files, str):
        return load_network(files, dictionary)
    return Ensemble(networks=[load_network(file, dictionary) for file in files])
