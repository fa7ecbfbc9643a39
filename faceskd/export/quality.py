"""Measure how much quality an exported file loses: PSNR and LPIPS against HR, on real faces."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from faceskd.data.pairs import FacePairs
from faceskd.export.base import Limits
from faceskd.metrics import MetricSuite
from faceskd.metrics.fidelity import psnr
from faceskd.models.base import SuperResolver

METRICS = Limits._fields


@dataclass(frozen=True)
class Quality:
    """The quality of the fp32 network in PyTorch and of an exported file, on the same LR faces.

    Attributes:
        faces: number of faces.
        pytorch: mean metrics of the network against HR, by name.
        exported: mean metrics of the file against HR, by name.
        difference: `exported` minus `pytorch`.
        psnr_between_db: mean PSNR between the SR faces of file and network, both clamped.
        limits: largest accepted absolute value of each difference.
        unavailable: metrics that could not be measured, with the reason.
        within_limits: whether all differences are within the limits; None if a metric could not be
            measured.
        why: explanation if `within_limits` is not True, else empty.
    """

    faces: int
    pytorch: dict[str, float]
    exported: dict[str, float]
    difference: dict[str, float]
    psnr_between_db: float
    limits: dict[str, float]
    unavailable: dict[str, str]
    within_limits: bool | None
    why: str

    def as_dict(self) -> dict[str, Any]:
        """The figures for JSON."""
        return asdict(self)


def measure_quality(
    network: SuperResolver,
    exported: Callable[[Tensor], Tensor],
    faces: FacePairs,
    *,
    limits: Limits,
    arithmetic: str,
    batch_size: int = 8,
) -> Quality:
    """Measure a network and its exported file on every face of a data set.

    Args:
        network: network in eval mode on the CPU.
        exported: loaded file.
        faces: HR faces with their LR faces.
        limits: largest accepted differences.
        arithmetic: how the file computes, for the explanation if a limit is exceeded.
        batch_size: faces per pass.
    """
    suite = MetricSuite(METRICS)
    suites = {"pytorch": suite.fresh(), "exported": suite.fresh()}
    between = []
    loader: DataLoader = DataLoader(faces, batch_size)  # type: ignore[arg-type]
    for batch in track(loader, "measuring", console=Console(stderr=True), transient=True):
        with torch.inference_mode():
            expected = network(batch["lr"])
        given = exported(batch["lr"]).cpu()
        suites["pytorch"].update(expected, batch["hr"])
        suites["exported"].update(given, batch["hr"])
        between.append(psnr(given.clamp(0, 1), expected.clamp(0, 1)))
    figures = {name: one.compute().summary() for name, one in suites.items()}
    difference = {
        metric: figures["exported"][metric] - value for metric, value in figures["pytorch"].items()
    }
    within, why = _judge(difference, limits, suite.unavailable, arithmetic)
    return Quality(
        faces=len(faces),
        pytorch=figures["pytorch"],
        exported=figures["exported"],
        difference=difference,
        psnr_between_db=torch.cat(between).mean().item(),
        limits=limits._asdict(),
        unavailable=dict(suite.unavailable),
        within_limits=within,
        why=why,
    )


def _judge(
    difference: dict[str, float], limits: Limits, unavailable: dict[str, str], arithmetic: str
) -> tuple[bool | None, str]:
    beyond = [
        f"{metric} changes by {value:+.4g}, accepted are {getattr(limits, metric)}"
        for metric, value in difference.items()
        if not abs(value) <= getattr(limits, metric)  # NaN is not within the limits
    ]
    if beyond:
        return False, f"{'; '.join(beyond)}: {arithmetic}"
    if unavailable:
        missing = "; ".join(
            f"{metric} was not measured: {why}" for metric, why in unavailable.items()
        )
        return None, missing
    return True, ""
