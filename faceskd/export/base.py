"""The base class of export backends, and the limits for the quality of their files."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

from faceskd.models.base import SuperResolver


class Limits(NamedTuple):
    """How much the quality of a file may differ from that of the network, over a set of faces.

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
        suffix: suffix of its files, with the dot.
        precision: number format of the computation: "fp32", "bf16", "fp16" or "int8".
        arithmetic: a sentence for the card that says how the file computes.
        tolerance: largest accepted difference from PyTorch's fp32 SR images, which are in [0, 1].
        least_psnr: smallest accepted PSNR against PyTorch's fp32 SR images, in dB.
        limits: limits for the quality; the card says whether the file is within them.
        device: device on which the file is checked.
        packages: packages whose versions are written to the card.
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
        """Write a network, which is in eval mode on the CPU, with `metadata` inside the file."""
