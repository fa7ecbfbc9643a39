"""What a form of a network costs in quality, on real faces: PSNR and LPIPS against HR, of both."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from faceskd.evaluation.evaluate import FacePairs
from faceskd.export.base import Limits
from faceskd.metrics import MetricSuite
from faceskd.metrics.fidelity import psnr
from faceskd.models.base import SuperResolver

METRICS = Limits._fields


@dataclass(frozen=True)
class Quality:
    """PyTorch's fp32 network and an exported file on the same LR faces.

    Attributes:
        faces: how many.
        pytorch: mean figures of the network against HR, by metric.
        exported: those of the file.
        difference: exported less pytorch.
        psnr_between_db: mean PSNR of the file's SR images against the network's, both clamped.
        limits: the largest accepted size of each difference.
        unavailable: metrics that could not be measured, and why.
        within_limits: whether all differences are; None where one could not be measured.
        why: a sentence where they are not all known to be; else empty.
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
        """The figures, fit for JSON."""
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
        network: in eval mode, on the CPU.
        exported: the file, loaded.
        faces: HR faces with their LR faces.
        limits: what is accepted.
        arithmetic: what the file computes how, for the sentence why it is outside them.
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
        if not abs(value) <= getattr(limits, metric)  # so that NaN is beyond
    ]
    if beyond:
        return False, f"{'; '.join(beyond)}: {arithmetic}"
    if unavailable:
        missing = "; ".join(
            f"{metric} was not measured: {why}" for metric, why in unavailable.items()
        )
        return None, missing
    return True, ""
