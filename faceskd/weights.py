"""Networks to and from files: safetensors with the network's own config in the metadata.

A file says what it holds, so that one call rebuilds it:

    network = load_network("student.safetensors")

Training checkpoints (.ckpt) are read too, without executing pickles; where they hold an
exponential average of the weights, that is what is loaded.
"""

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from hydra.utils import instantiate
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faceskd.dictionary import Dictionary
from faceskd.errors import ConfigError, DictionaryError, WeightsError
from faceskd.files import atomic_path
from faceskd.models.base import SuperResolver
from faceskd.models.teacher import Teacher

FORMAT = "faceskd-network-1"
NETWORK_PREFIX = "network."
AVERAGE_PREFIX = "average."


def build_network(config: dict[str, Any]) -> SuperResolver:
    """Instantiate a config of `conf/model/`.

    Only classes of `faceskd.models` are built: a config read from a weights file is input.

    Raises:
        ConfigError: the config names another class, or an argument that the class does not take.
    """
    _check_targets(config)
    try:
        return instantiate(config)
    except Exception as error:
        cause = error.__cause__
        if isinstance(cause, (ConfigError, WeightsError, DictionaryError)):
            raise cause from None
        raise ConfigError(f"cannot build {config.get('_target_')}: {cause or error}") from error


def _check_targets(config: Any) -> None:
    if isinstance(config, dict):
        target = config.get("_target_")
        if target is not None and not str(target).startswith("faceskd.models."):
            raise ConfigError(f"expected a network of faceskd.models, got {target!r}")
        for value in config.values():
            _check_targets(value)


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


def read_metadata(path: Path | str) -> dict[str, Any]:
    """The metadata that `save_network` was given."""
    _, _, metadata = _read(Path(path))
    return metadata


def load_network(path: Path | str, dictionary: Path | str | None = None) -> SuperResolver:
    """Rebuild a network from a .safetensors or .ckpt file, in eval mode.

    Args:
        dictionary: a teacher's; default: where it stood when the teacher was trained.

    Raises:
        WeightsError: the file is missing, damaged, or its weights are of another architecture.
        DictionaryError: the teacher's dictionary is missing or is not the one it trained with.
    """
    path = Path(path)
    config, state, metadata = _read(path)
    network = build_network(_without_weights(config))
    load_state(network, state, str(path))
    if isinstance(network, Teacher):
        _attach_dictionary(network, dictionary, metadata.get("dictionary", {}))
    return network.eval()


def load_state(network: SuperResolver, state: dict[str, Tensor], origin: str) -> None:
    """Fill a network, or say in a WeightsError how its architecture differs."""
    wanted = network.state_dict()
    wrong = sorted(
        key for key in wanted.keys() & state.keys() if wanted[key].shape != state[key].shape
    )
    unmatched = sorted(wanted.keys() ^ state.keys())
    if wrong or unmatched:
        key = (wrong or unmatched)[0]
        expected = tuple(wanted[key].shape) if key in wanted else "nothing"
        came = tuple(state[key].shape) if key in state else "nothing"
        raise WeightsError(
            f"the weights in {origin!r} are of another architecture than "
            f"{type(network).__name__}: {len(wrong) + len(unmatched)} tensors differ; "
            f"for {key} expected {expected}, got {came}"
        )
    network.load_state_dict(state)


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


def _without_weights(config: Any) -> Any:
    """The config without the pretrained files it started from: its own weights replace them."""
    if not isinstance(config, dict):
        return config
    return {
        key: None if key in ("weights", "dictionary") else _without_weights(value)
        for key, value in config.items()
    }


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    """(model config, state dict, metadata) of a weights file."""
    if not path.is_file():
        raise WeightsError(f"no weights at {str(path)!r}")
    return _read_checkpoint(path) if path.suffix == ".ckpt" else _read_safetensors(path)


def _read_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
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
    return json.loads(header["model"]), state, json.loads(header["metadata"])


def _read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], dict[str, Any]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        hyper_parameters, weights = content["hyper_parameters"], content["state_dict"]
    except (UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{str(path)!r} is not a checkpoint of faceskd: {error}") from error
    state = _with_prefix(weights, NETWORK_PREFIX)
    averages = _with_prefix(weights, AVERAGE_PREFIX)
    state |= {key.replace("/", "."): value for key, value in averages.items() if key != "step"}
    return hyper_parameters["model"], state, hyper_parameters.get("metadata", {})


def _with_prefix(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
