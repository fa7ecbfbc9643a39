"""What an export backend is, and what its files are held to."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from faceskd.models.base import SuperResolver


class Limits(NamedTuple):
    """How much of a network's quality a form of it may cost, over a set of faces.

    Attributes:
        psnr: largest change of the mean PSNR against HR, dB.
        lpips_squeeze: largest change of the mean LPIPS against HR.
    """

    psnr: float = 0.1
    lpips_squeeze: float = 0.005


class Backend(ABC):
    """One kind of exported file.

    Attributes:
        format: name of the format, as in `conf/format/<format>.yaml`.
        suffix: what the names of its files end in, with the dot.
        precision: "fp32", "bf16", "fp16", "int8": what the file computes in.
        arithmetic: a sentence for the card: what is computed how, and what that costs.
        tolerance: largest accepted difference from PyTorch's fp32 SR image, of a range of 1.
        least_psnr: least accepted PSNR of the file's SR images against PyTorch's, dB.
        limits: what its card says whether it keeps.
        device: where the file is checked.
        packages: the distributions whose versions belong on the card.
    """

    format: str
    suffix: str
    precision: str = "fp32"
    arithmetic: str
    tolerance: float
    least_psnr: float = 0.0
    limits: Limits = Limits()
    device: str = "cpu"
    packages: tuple[str, ...] = ()

    @abstractmethod
    def write(self, network: SuperResolver, path: Path, metadata: dict[str, str]) -> None:
        """Write a network that is in eval mode on the CPU, with `metadata` inside the file."""
