"""Read safetensors files, and check that all values are finite."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from faceskd.common.errors import WeightsError


def read_safetensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file, on the CPU, and its metadata.

    They are copied out of the mapped file. There, their alignment depends on the length of the
    metadata, and sums over tensors of another alignment are rounded differently.

    Raises:
        WeightsError: the file is missing, damaged, or no safetensors file.
    """
    if not Path(path).is_file():
        raise WeightsError(f"no weights at {str(path)!r}")
    try:
        with safe_open(path, "pt") as file:
            tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{str(path)!r} is not a whole safetensors file: {error}") from error


def write_safetensors(
    path: Path | str, tensors: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    """Write a safetensors file whose bytes depend on nothing but its content.

    `safetensors` writes the metadata in a random order, so that two files with the same weights
    have different checksums.
    """
    content = memoryview(save(tensors, metadata))
    size = int.from_bytes(content[:8], "little")
    header = json.loads(bytes(content[8 : 8 + size]))
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants the data aligned
    with Path(path).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.write(content[8 + size :])


def check_finite(tensors: Mapping[str, Tensor], origin: Path | str) -> None:
    """Raise a WeightsError that names the first tensor with a NaN or an infinity."""
    for name, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            wrong = int((~torch.isfinite(value)).sum())
            raise WeightsError(
                f"expected finite numbers in {str(origin)!r}, but {wrong} of the "
                f"{value.numel()} values of {name} are NaN or infinite: the file is damaged, or "
                "its training diverged"
            )
