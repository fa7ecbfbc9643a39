"""Weights files in torch hub's cache: find them, or download them if that is allowed."""

import hashlib
import shutil
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import torch

from faceskd.common.errors import FaceskdError
from faceskd.common.files import atomic_path
from faceskd.metrics.base import MetricUnavailable

_TIMEOUT = 10.0  # seconds without an answer


def cached_weights(url: str, *, allow_download: bool) -> Path:
    """The file of `url` in torch hub's cache, TORCH_HOME/hub/checkpoints.

    Raises:
        MetricUnavailable: the file is missing, and the download is not allowed or failed.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[1])
    if path.is_file():
        return path
    missing = f"{path.name} is not in {path.parent}"
    offline = f"without a network, fetch {url} elsewhere and put it there (TORCH_HOME moves it)"
    if not allow_download:
        raise MetricUnavailable(f"{missing}; allow_download=true fetches it; {offline}")
    try:
        _download(url, path)
    except (URLError, OSError, FaceskdError) as error:
        reason = getattr(error, "reason", None) or error
        raise MetricUnavailable(
            f"{missing}, and the download failed ({reason}); {offline}"
        ) from error
    return path


def _download(url: str, path: Path) -> None:
    with urlopen(url, timeout=_TIMEOUT) as answer, atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            shutil.copyfileobj(answer, file)
        _check_hash(temporary, path.stem)


def _check_hash(path: Path, stem: str) -> None:
    """Compare with the start of the SHA-256 at the end of the name, as in name-b8a52dc0.pth."""
    expected = stem.rpartition("-")[2]
    with path.open("rb") as file:
        came = hashlib.file_digest(file, "sha256").hexdigest()
    if not came.startswith(expected):
        raise FaceskdError(f"expected a SHA-256 that begins with {expected}, got {came[:8]}")


def load_state(path: Path) -> dict[str, Any]:
    """Read the state dict from a weights file.

    Raises:
        MetricUnavailable: the file is damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a truncated pickle can raise anything, even KeyError
        raise MetricUnavailable(
            f"{path} is damaged ({type(error).__name__}): delete it and download it again"
        ) from error
