"""Published weights of other projects, downloaded to PyTorch's cache if they are missing.

`torch.hub.download_url_to_file` writes a temporary file first and compares its SHA-256 with the
digits at the end of the published name (`name-b8a52dc0.pth`). pooch and huggingface_hub do not fit:
they need the full checksum, or files on the Hugging Face Hub.
"""

import sys
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch.hub import HASH_REGEX

from faceskd.common.errors import FaceskdError, WeightsError
from faceskd.common.files import make_folder


def hub_path(url: str) -> Path:
    """Path in the cache for the file of `url`: $TORCH_HOME/hub/checkpoints/NAME."""
    return Path(torch.hub.get_dir(), "checkpoints", Path(urlparse(url).path).name)


def hub_file(url: str, *, allow_download: bool = True, otherwise: str = "") -> Path:
    """The cached file of `url`, downloaded first if it is missing.

    Args:
        url: address of the file. The file name ends in the first digits of the SHA-256.
        allow_download: whether a missing file may be downloaded.
        otherwise: what else the user can do, for the error message.

    Raises:
        WeightsError: the file is missing, and downloading it is not allowed, failed, or gave a file
            with another checksum.
    """
    path = hub_path(url)
    if path.is_file():
        return path
    problem = f"expected weights at {str(path)!r}, but there is no such file"
    advice = f"download {url} and put the file there (TORCH_HOME sets another folder)"
    advice = f"{advice}, or {otherwise}" if otherwise else advice
    if not allow_download:
        raise WeightsError(f"{problem}; {advice}")
    digits = HASH_REGEX.search(path.name)
    try:
        make_folder(path.parent)
        torch.hub.download_url_to_file(
            url, str(path), digits[1] if digits else None, progress=sys.stderr.isatty()
        )
    except (OSError, HTTPException, RuntimeError, FaceskdError) as error:
        cause = getattr(error, "reason", None) or error
        raise WeightsError(f"{problem}, and the download failed ({cause}); {advice}") from error
    return path
