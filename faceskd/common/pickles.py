"""Read pickled PyTorch files without executing code from them."""

from pathlib import Path
from typing import Any

import torch

from faceskd.common.errors import WeightsError


def read_pickle(path: Path | str) -> Any:
    """The content of a file of `torch.save`: tensors on the CPU, and plain types.

    Raises:
        WeightsError: the file is missing, damaged, or holds more than tensors and plain types.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weights at {str(path)!r}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise many kinds of errors
        reason = str(error).splitlines()[0] if str(error) else "no data"
        raise WeightsError(
            f"{str(path)!r} is damaged, or no file of tensors ({type(error).__name__}: {reason})"
        ) from error
