"""Compare methods on the same faces, with the same degradations and the same metrics."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.stats import bootstrap
from torch import Tensor, nn
from torch.utils.data import DataLoader

from faceskd.common.checks import check_choice, check_whole
from faceskd.common.direction import Direction
from faceskd.common.errors import ConfigError
from faceskd.common.machine import checked_device
from faceskd.data.pairs import FacePairs
from faceskd.metrics import MetricSuite, Scores
from faceskd.models.baselines.interpolation import Interpolation

Method = Callable[..., Tensor]
"""Function or network: LR faces (B, 3, H, W), component boxes (B, 4, 4) -> SR faces."""
Precision = Literal["fp32", "bf16"]

BICUBIC = "bicubic"
HR = "hr"
LR = "lr"
_HR_METRICS = ("grid_index", "niqe", "ita")  # metrics that are measured on the HR faces, too


@dataclass(frozen=True)
class Evaluation:
    """Results of an evaluation.

    Attributes:
        scores: results of each method: bicubic, the given methods, and "hr", for which only
            metrics of HR faces alone are measured.
        better: for each metric, which values are better.
        unavailable: for each metric that could not be measured, the reason.
        pictures: the first faces as "lr", each method, and "hr": (B, 3, H, W). SR faces are not
            clamped.
        boxes: component boxes of these faces, (B, 4, 4).
        settings: precision, batch size, device.
    """

    scores: dict[str, Scores]
    better: dict[str, Direction]
    unavailable: dict[str, str]
    pictures: dict[str, Tensor]
    boxes: Tensor
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def faces(self) -> list[str]:
        """Names of the faces, in order."""
        return self.scores[BICUBIC].faces

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that were measured."""
        return [name for name in self.better if name not in self.unavailable]

    def rows(self) -> list[dict[str, Any]]:
        """The table: one row for each method, with means over faces and values of the set."""
        summaries = {method: scores.summary() for method, scores in self.scores.items()}
        return [
            {"method": method} | {name: values[name] for name in self.metrics if name in values}
            for method, values in summaries.items()
        ]

    def per_image_rows(self) -> list[dict[str, Any]]:
        """One row for each face and method."""
        return [
            {"name": face, "method": method, **{k: v[i] for k, v in scores.per_image.items()}}
            for method, scores in self.scores.items()
            for i, face in enumerate(scores.faces)
            if scores.per_image
        ]

    def intervals(self) -> dict[str, dict[str, tuple[float, float]]]:
        """95 % bootstrap intervals of the means, for each method and metric."""
        return {
            method: {name: bootstrap_interval(v) for name, v in scores.per_image.items()}
            for method, scores in self.scores.items()
            if scores.per_image and len(scores.faces) > 1
        }


def bootstrap_interval(values: Sequence[float], resamples: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval (percentile method) of a mean, with a fixed seed.

    Raises:
        ConfigError: there are fewer than two values.
    """
    if len(values) < 2:
        raise ConfigError(f"expected at least 2 values for an interval, got {len(values)}")
    sample = np.asarray(values, np.float64)
    interval = bootstrap(
        (sample,), np.mean, n_resamples=resamples, batch=200, method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    return float(interval.low), float(interval.high)


def evaluate(
    methods: Mapping[str, Method],
    dataset: FacePairs,
    metrics: MetricSuite,
    *,
    batch_size: int = 8,
    precision: Precision = "fp32",
    device: str = "cpu",
    show: int = 6,
    privileged: Collection[str] = (),
    progress: bool = True,
) -> Evaluation:
    """Measure the given methods and bicubic enlargement on all faces of a data set.

    Args:
        methods: methods by their names in tables. Networks are in eval mode during the call.
        dataset: items {"lr" (3, h, w), "hr" (3, 8h, 8w), "boxes" (4, 4), "landmarks" (5, 2),
            "name"}. All methods get the same LR faces. For networks of scale 1, lr and hr have one
            size, and bicubic enlargement is the input itself.
        metrics: the metrics to measure; this suite itself stays empty.
        batch_size: faces per batch.
        precision: precision of networks: fp32, or bf16 (autocast with channels_last).
        device: device of the networks.
        show: number of faces to keep for pictures, from the first.
        privileged: methods that also get the HR faces: an upper bound, not what users get.
        progress: whether to show a progress bar.

    Raises:
        ConfigError: the name of a method is reserved, the data set is empty, a setting is invalid,
            a method in `privileged` takes no HR faces, or a method returns images of the wrong size
            or values that are not finite.
    """
    _check(methods, dataset, batch_size, precision, device)
    _check_privileged(methods, privileged)
    check_whole(0, show=show)
    rows: dict[str, Method] = {BICUBIC: Interpolation(mode="bicubic"), **methods}
    suites = {name: metrics.fresh() for name in rows} | {HR: metrics.fresh(_HR_METRICS)}
    metrics.load()
    kept: dict[str, list[Tensor]] = {}
    with _ready(rows, device), _bar(progress) as bar:
        task = bar.add_task("evaluating", total=len(dataset))
        for batch in DataLoader(dataset, batch_size):  # type: ignore[arg-type]
            pictures = _restore(rows, batch, precision, device, privileged)
            hr = pictures[HR]
            for name, suite in suites.items():
                suite.update(pictures[name], hr, batch["landmarks"], batch["name"])
            wanted = show - sum(map(len, kept.get(HR, [])))
            for name, images in [*pictures.items(), ("boxes", batch["boxes"])]:
                # A copy: a slice, even an empty one, keeps the whole batch in memory.
                shown = images[: max(wanted, 0)].float().cpu().clone()
                kept.setdefault(name, []).append(shown)
            bar.advance(task, len(hr))
    columns = {name: torch.cat(images) for name, images in kept.items()}
    return Evaluation(
        scores={name: suite.compute() for name, suite in suites.items()},
        better=metrics.better,
        unavailable=dict(metrics.unavailable),
        boxes=columns.pop("boxes"),
        pictures=columns,
        settings={
            "precision": precision,
            "batch_size": batch_size,
            "device": device,
            **({"privileged": list(privileged)} if privileged else {}),
        },
    )


def show_faces(
    methods: Mapping[str, Method],
    dataset: FacePairs,
    indices: Sequence[int],
    *,
    precision: Precision = "fp32",
    device: str = "cpu",
    privileged: Collection[str] = (),
) -> dict[str, Tensor]:
    """The pictures of chosen faces, in the form of `Evaluation.pictures`. Batch size 1."""
    rows: dict[str, Method] = {BICUBIC: Interpolation(mode="bicubic"), **methods}
    with _ready(rows, device):
        pictures = [
            _restore(rows, batch, precision, device, privileged)
            for batch in DataLoader(dataset, 1, sampler=indices)  # type: ignore[arg-type]
        ]
    names = [LR, *rows, HR]
    return {name: torch.cat([each[name].float().cpu() for each in pictures]) for name in names}


def _check(
    methods: Mapping[str, Method], dataset: FacePairs, batch_size: int, precision: str, device: str
) -> None:
    taken = sorted({BICUBIC, LR, HR, "boxes"} & set(methods))
    if taken:
        raise ConfigError(
            f"expected a name other than {taken[0]!r} for a method: this name is reserved"
        )
    if len(dataset) == 0:
        raise ConfigError("expected at least one face to evaluate, got none")
    check_whole(1, batch_size=batch_size)
    check_choice(get_args(Precision), precision=precision)
    checked_device(device)


def _check_privileged(methods: Mapping[str, Method], privileged: Collection[str]) -> None:
    takers = [name for name, method in methods.items() if getattr(method, "privileged", False)]
    for name in privileged:
        if name not in takers:
            raise ConfigError(
                f"expected privileged to name methods that take the HR face, of {takers}; got "
                f"{name!r}"
            )


@torch.inference_mode()
def _restore(
    rows: Mapping[str, Method],
    batch: Mapping[str, Any],
    precision: str,
    device: str,
    privileged: Collection[str],
) -> dict[str, Tensor]:
    """One batch as "lr", each method, and "hr", all (B, 3, H, W), on the device."""
    lr, hr, boxes = (batch[key].to(device) for key in (LR, HR, "boxes"))
    pictures = {LR: lr}
    for name, method in rows.items():
        bf16 = precision == "bf16" and isinstance(method, nn.Module) and name != BICUBIC
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
            layout = torch.channels_last if bf16 else torch.contiguous_format
            if name == BICUBIC and lr.shape == hr.shape:  # of networks of scale 1: their input
                sr = lr
            else:
                more = {"hr": hr} if name in privileged else {}
                sr = method(lr.contiguous(memory_format=layout), boxes, **more).float().contiguous()
        if sr.shape != hr.shape:
            raise ConfigError(
                f"expected images {tuple(hr.shape)} from {name!r}, got {tuple(sr.shape)}"
            )
        if not torch.isfinite(sr).all():
            raise ConfigError(f"expected finite values from {name!r}, got NaN or infinity")
        pictures[name] = sr
    return pictures | {HR: hr}


@contextmanager
def _ready(methods: Mapping[str, Method], device: str) -> Iterator[None]:
    """Networks on the device and in eval mode; afterwards their modes are restored."""
    networks = [method for method in methods.values() if isinstance(method, nn.Module)]
    modes = [(module, module.training) for network in networks for module in network.modules()]
    try:
        for network in networks:
            network.to(device).eval()
        yield
    finally:
        for module, training in modes:  # for each module, because parts may be frozen in eval mode
            module.training = training


def _bar(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        disable=not shown,
    )
