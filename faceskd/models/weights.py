"""Networks to and from files: safetensors with the network's own config in the metadata.

A file says what it holds, so that one call rebuilds it:

    network = load_network("student.safetensors")

Training checkpoints (.ckpt) are read too, without executing pickles; where they hold an
exponential average of the weights, that is what is loaded.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

from hydra.utils import instantiate
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from faceskd.common.errors import ConfigError, DictionaryError, FaceskdError, WeightsError
from faceskd.common.files import atomic_path
from faceskd.common.pickles import read_pickle
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse
from faceskd.models.dictionary import Dictionary
from faceskd.models.teacher import Teacher

FORMAT = "faceskd-network-1"
NETWORK_PREFIX = "network."
AVERAGE_PREFIX = "average."
MODELS = "faceskd.models."


class StoredNetwork(NamedTuple):
    """What a file of weights holds.

    Attributes:
        config: what `build_network` rebuilds the network from.
        state: its state dict; of a checkpoint with averages, the averages.
        metadata: what `save_network` was given.
    """

    config: dict[str, Any]
    state: dict[str, Tensor]
    metadata: dict[str, Any]


def build_network(config: dict[str, Any]) -> SuperResolver:
    """Instantiate a config of `conf/model/`.

    Only classes of `faceskd.models` are built: a config read from a weights file is input.

    Raises:
        ConfigError: the config names another class, or an argument that the class does not take.
    """
    _check_targets(config)
    try:
        network = instantiate(config)
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


def _check_targets(config: Any) -> None:
    """Refuse whatever is not a module defined in `faceskd.models`, its imports included."""
    if isinstance(config, dict):
        if "_target_" in config and not _is_ours(str(config["_target_"])):
            raise ConfigError(f"expected a network of faceskd.models, got {config['_target_']!r}")
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for value in config:
            _check_targets(value)


def _is_ours(target: str) -> bool:
    if not target.startswith(MODELS):
        return False
    try:
        found = resolve_name(target)
    except (ImportError, AttributeError, ValueError):
        return False
    is_module = isinstance(found, type) and issubclass(found, nn.Module)
    return is_module and found.__module__.startswith(MODELS)


def save_network(
    path: Path | str,
    network: SuperResolver,
    model_config: dict[str, Any],
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a network as safetensors, atomically.

    Args:
        model_config: what `build_network` rebuilds it from.
        metadata: anything JSON can hold; a teacher's dictionary is added by name and checksum.
            "fused" says that the network went through `faceskd.models.blocks.fuse`.
    """
    details = dict(metadata or {})
    config = dict(model_config)
    if isinstance(network, Teacher):
        dictionary = config.pop("dictionary", None)
        details["dictionary"] = {"path": str(dictionary), "sha256": network.dictionary_sha256}
    header = {"format": FORMAT, "model": json.dumps(config), "metadata": json.dumps(details)}
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    with atomic_path(path) as temporary:
        save_file(state, temporary, header)


def read_weights(path: Path | str) -> StoredNetwork:
    """Read a .safetensors or .ckpt file without building its network.

    Raises:
        WeightsError: the file is missing, damaged, or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weights at {str(path)!r}")
    return _read_checkpoint(path) if path.suffix == ".ckpt" else _read_safetensors(path)


def read_metadata(path: Path | str) -> dict[str, Any]:
    """The metadata that `save_network` was given."""
    return read_weights(path).metadata


def load_network(path: Path | str, dictionary: Path | str | None = None) -> SuperResolver:
    """Rebuild a network from a .safetensors or .ckpt file, in eval mode.

    Weights in other precisions become fp32; those of a fused network fill the fused one.

    Args:
        dictionary: a teacher's; default: where it stood when the teacher was trained.

    Raises:
        WeightsError: the file is missing, damaged, or its weights are of another architecture.
        DictionaryError: the teacher's dictionary is missing or is not the one it trained with.
    """
    config, state, metadata = read_weights(path)
    network = build_network(without_files(config))
    if metadata.get("fused", metadata.get("folded")):  # "folded" in files of 0.1
        network = fuse(network)
    load_state(network, state, str(path))
    if isinstance(network, Teacher):
        _attach_dictionary(network, dictionary, metadata.get("dictionary", {}))
    return network.eval()


def load_state(network: SuperResolver, state: dict[str, Tensor], origin: str) -> None:
    """Fill a network, or say in a WeightsError how its architecture differs."""
    problem = f"the weights in {origin!r} are of another architecture than {type(network).__name__}"
    check_state(network.state_dict(), state, problem)
    network.load_state_dict(state)


def check_state(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], problem: str) -> None:
    """Raise a WeightsError that begins with `problem` unless names and shapes are the same."""
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


def _attach_dictionary(teacher: Teacher, given: Path | str | None, recorded: dict) -> None:
    path = given or recorded.get("path")
    if not path or path == "None":
        raise DictionaryError("the teacher's weights name no dictionary: give its path")
    dictionary = Dictionary.load(path)
    if recorded.get("sha256") and recorded["sha256"] != dictionary.sha256:
        raise DictionaryError(
            f"the teacher was trained with a dictionary of SHA-256 {recorded['sha256'][:16]}..., "
            f"but {str(path)!r} has {dictionary.sha256[:16]}..."
        )
    teacher.load_dictionary(dictionary)


def without_files(config: dict[str, Any]) -> dict[str, Any]:
    """A network's config without the files it starts from: pretrained weights, a dictionary."""
    return {
        key: None if key in ("weights", "dictionary") else _nested_without_files(value)
        for key, value in config.items()
    }


def _nested_without_files(value: Any) -> Any:
    return without_files(value) if isinstance(value, dict) else value


def _read_safetensors(path: Path) -> StoredNetwork:
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{str(path)!r} is not a whole safetensors file: {error}") from error
    if header.get("format") != FORMAT:
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
