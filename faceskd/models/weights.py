"""Save and load networks: safetensors files with the config of the network in the metadata.

Because the file contains the config, one call builds the network and loads its weights:

    network = load_network("student.safetensors")

Training checkpoints (.ckpt) can be loaded, too, without executing pickled code. If they contain a
moving average of the weights, the average is loaded.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import get_class, instantiate
from torch import Tensor

from faceskd.common.errors import ConfigError, DictionaryError, FaceskdError, WeightsError
from faceskd.common.files import atomic_path, sha256
from faceskd.common.pickles import read_pickle
from faceskd.common.tensors import check_finite, read_safetensors, write_safetensors
from faceskd.models.base import TRANSLATIONS, SuperResolver
from faceskd.models.blocks import fuse
from faceskd.models.cyclegan import TRANSLATION
from faceskd.models.dictionary import Dictionary
from faceskd.models.registry import TARGETS, check_registered, from_stored, to_stored
from faceskd.models.vgg import RANDOM

FORMAT = "faceskd-network-2"
FORMATS = (FORMAT, "faceskd-network-1")  # release 0.1 stored import paths, not names
NETWORK_PREFIX = "network."
AVERAGE_PREFIX = "average."


class StoredNetwork(NamedTuple):
    """The content of a weights file.

    Attributes:
        config: config for `build_network`; names of networks are replaced by import paths.
        state: state dict; for a checkpoint with averages, the averages.
        metadata: metadata passed to `save_network`.
    """

    config: dict[str, Any]
    state: dict[str, Tensor]
    metadata: dict[str, Any]


def build_network(config: dict[str, Any], *, pretrained: bool = True) -> SuperResolver:
    """Build the network of a config of `conf/model/`.

    Only classes listed in `faceskd.models.registry` are built, because a config from a weights file
    could name any class.

    Args:
        config: config of a network.
        pretrained: False: do not read the files that the config names. Encoders are random and
            there is no dictionary; weights are loaded later.

    Raises:
        ConfigError: the config names another class, or an unknown argument.
        WeightsError, DictionaryError: a file named in the config is missing or does not fit.
    """
    check_registered(config)
    try:
        network = instantiate(config if pretrained else _unfilled(config))
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, FaceskdError):
            raise cause from None
        raise ConfigError(f"cannot build {config.get('_target_')}: {cause or error}") from error
    if not isinstance(network, SuperResolver):
        raise ConfigError(
            f"expected the config of a network, got that of a {type(network).__name__}"
        )
    return network


def _unfilled(config: dict[str, Any]) -> dict[str, Any]:
    """The config with random encoders and without a dictionary."""
    plain = {k: _unfilled(v) if isinstance(v, dict) else v for k, v in config.items()}
    random = {"weights": RANDOM} if config.get("_target_") == TARGETS["vgg19"] else {}
    return plain | random | ({"dictionary": None} if "dictionary" in config else {})


def network_class(config: dict[str, Any]) -> type[SuperResolver]:
    """The class of a config of `conf/model/`; its class attributes are known without building it.

    Raises:
        ConfigError: the class is not registered.
    """
    check_registered(config)
    return get_class(config["_target_"])


def stored_purpose(config: dict[str, Any], metadata: Mapping[str, Any]) -> str:
    """What a stored network is for, see `SuperResolver`; metadata tell a translation.

    Raises:
        ConfigError: the class is not registered.
    """
    return TRANSLATIONS if TRANSLATION in metadata else network_class(config).purpose


def save_network(
    path: Path | str,
    network: SuperResolver,
    model_config: dict[str, Any],
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a network as safetensors, atomically.

    Args:
        path: file to write.
        network: network to save.
        model_config: config from which `build_network` builds the network.
        metadata: values that JSON can hold. Path and checksum of a teacher's dictionary are added.
            "fused": True if the network is the result of `faceskd.models.blocks.fuse`.

    Raises:
        WeightsError: a weight is NaN or infinite.
    """
    details = (metadata or {}) | dictionary_record(network, model_config)
    config = to_stored({k: v for k, v in model_config.items() if k != "dictionary"})
    header = {"format": FORMAT, "model": json.dumps(config), "metadata": json.dumps(details)}
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    check_finite(state, path)
    with atomic_path(path) as temporary:
        write_safetensors(temporary, state, header)


def dictionary_record(network: SuperResolver, model_config: dict[str, Any]) -> dict[str, Any]:
    """Metadata about the dictionary of a network; {} if it uses none."""
    if not network.uses_dictionary:
        return {}
    path = str(model_config.get("dictionary"))
    return {"dictionary": {"path": path, "sha256": network.dictionary_sha256}}


def read_weights(path: Path | str) -> StoredNetwork:
    """Read a .safetensors or .ckpt file without building its network.

    Raises:
        WeightsError: the file is missing, damaged, no weights file, or has values that are not
            finite.
        ConfigError: its network is not registered.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"no weights at {str(path)!r}")
    stored = _read_checkpoint(path) if path.suffix == ".ckpt" else _read_network_file(path)
    check_finite(stored.state, path)
    return stored._replace(config=from_stored(stored.config))


def read_metadata(path: Path | str) -> dict[str, Any]:
    """The metadata of a weights file, as passed to `save_network`."""
    return read_weights(path).metadata


def load_network(path: Path | str, dictionary: Path | str | None = None) -> SuperResolver:
    """Load a network from a .safetensors or .ckpt file, in fp32 and eval mode.

    If the file contains a fused network, a fused network is returned.

    Args:
        path: weights file.
        dictionary: file of a teacher's dictionary; None: the path stored when it was trained, or
            the file with the stored checksum in the folder of the weights.

    Raises:
        WeightsError: the file is missing or damaged, its weights belong to another architecture, or
            values are not finite.
        DictionaryError: the dictionary is missing, or is neither the one that the teacher was
            trained with nor made from it by `faceskd dictionary extend=...`.
    """
    return stored_network(read_weights(path), path, dictionary)


def stored_network(
    stored: StoredNetwork, path: Path | str, dictionary: Path | str | None = None
) -> SuperResolver:
    """The network of a weights file that was read from `path`, see `load_network`."""
    config, state, metadata = stored
    network = build_network(config, pretrained=False)
    if metadata.get("fused", metadata.get("folded")):  # "folded" in files of 0.1
        network = fuse(network)
    load_state(network, state, str(path))
    if network.uses_dictionary:
        recorded = metadata.get("dictionary", {})
        _attach_dictionary(network, dictionary or _find_dictionary(recorded, Path(path)), recorded)
    return network.eval()


def load_state(network: SuperResolver, state: dict[str, Tensor], origin: str) -> None:
    """Load a state dict, or raise a WeightsError that says how the architecture differs."""
    problem = f"the weights in {origin!r} are of another architecture than {type(network).__name__}"
    check_state(network.state_dict(), state, problem)
    network.load_state_dict(state)


def check_state(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], problem: str) -> None:
    """Raise a WeightsError that begins with `problem` if names or shapes differ."""
    wrong = sorted(
        key for key in wanted.keys() & state.keys() if wanted[key].shape != state[key].shape
    )
    unmatched = sorted(wanted.keys() ^ state.keys())
    if wrong or unmatched:
        key = (wrong or unmatched)[0]
        expected = tuple(wanted[key].shape) if key in wanted else "nothing"
        came = tuple(state[key].shape) if key in state else "nothing"
        raise WeightsError(
            f"{problem}: {len(wrong) + len(unmatched)} tensors differ; for {key} expected "
            f"{expected}, got {came}"
        )


def _find_dictionary(recorded: dict, weights: Path) -> Path | None:
    """The path stored in the weights file, or a file with the stored checksum in its folder."""
    named = recorded.get("path") or "None"
    if Path(named).is_file():
        return Path(named)
    wanted = recorded.get("sha256")
    beside = sorted(weights.parent.glob("*.safetensors")) if wanted else []
    found = (file for file in beside if sha256(file) == wanted)
    return next(found, None if named == "None" else Path(named))


def _attach_dictionary(network: SuperResolver, path: Path | str | None, recorded: dict) -> None:
    if path is None:
        raise DictionaryError(
            "expected the path of the teacher's dictionary in its weights file, got none: give the "
            "path of the dictionary, or put it into the folder of the weights"
        )
    dictionary = Dictionary.load(path)
    if recorded.get("sha256") and not dictionary.extends(recorded["sha256"]):
        raise DictionaryError(
            f"the teacher was trained with a dictionary of SHA-256 {recorded['sha256'][:16]}..., "
            f"but {str(path)!r} has {dictionary.sha256[:16]}..."
        )
    network.load_dictionary(dictionary)


def without_files(config: dict[str, Any]) -> dict[str, Any]:
    """The config of a network without files to start from: pretrained weights, a dictionary."""
    return {
        key: None if key in ("weights", "dictionary") else _nested_without_files(value)
        for key, value in config.items()
    }


def _nested_without_files(value: Any) -> Any:
    return without_files(value) if isinstance(value, dict) else value


def _read_network_file(path: Path) -> StoredNetwork:
    state, header = read_safetensors(path)
    if header.get("format") not in FORMATS:
        raise WeightsError(
            f"expected a network of the format {FORMAT} in {str(path)!r}, got "
            f"{header.get('format', 'another safetensors file')!r}"
        )
    return StoredNetwork(json.loads(header["model"]), state, json.loads(header["metadata"]))


def _read_checkpoint(path: Path) -> StoredNetwork:
    content = read_pickle(path)
    try:
        hyper_parameters, weights = content["hyper_parameters"], content["state_dict"]
        config, metadata = hyper_parameters["model"], hyper_parameters["metadata"]
    except (KeyError, TypeError, IndexError) as error:
        raise WeightsError(
            f"expected a checkpoint of `faceskd train` in {str(path)!r}, got one without {error}"
        ) from error
    state = _with_prefix(weights, NETWORK_PREFIX)
    averages = _with_prefix(weights, AVERAGE_PREFIX)
    state |= {key.replace("/", "."): value for key, value in averages.items() if key != "step"}
    return StoredNetwork(config, state, metadata)


def _with_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
