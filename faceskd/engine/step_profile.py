"""Where the time of a training step goes: `faceskd train callbacks=step_profile ...`."""

import json
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from torch.profiler import ProfilerActivity, profile

from faceskd.common.checks import check_whole
from faceskd.common.files import write_text
from faceskd.common.machine import machine_summary
from faceskd.engine.messages import WARNING, say
from faceskd.reporting.tables import rich_table

KINDS = {
    "convolution backward": ("convolution_backward",),
    "convolution": ("conv",),
    "matrix product": ("mm", "linalg", "matmul", "mv"),
    "copies and casts": ("copy_", "aten::to", "clone", "cat", "fill_", "zero_", "contiguous"),
    "optimiser, average, clipping": ("_foreach", "_fused", "Optimizer"),
    "interpolation, pooling": ("upsample", "pool", "grid_sampl", "roi_align"),
    "data": ("DataLoader",),
}
"""Kinds of operators, with parts of the names that belong to them; the first match counts."""
SLOWEST = 20
"""Number of operators listed in the record."""


class StepProfile(pl.Callback):
    """Measures the time of steps, profiles more steps, writes `step_profile.json`, and stops.

    `faceskd train` then neither resumes a training nor writes weights or checkpoints: what the
    folder holds stays as it is.

    There is no validation, whose time would count as that of a step. The speed is measured without
    the profiler, because the profiler slows everything down. The shares are of the operators' own
    CPU time (without the operators they call) in the training thread.

    Args:
        out: folder of the run.
        warmup: number of steps that are not measured.
        timed: number of steps for the speed.
        profiled: number of steps for the shares.

    Raises:
        ConfigError: a number of steps is not a whole number of at least 1.
    """

    def __init__(
        self, *, out: Path | str, warmup: int = 5, timed: int = 20, profiled: int = 10
    ) -> None:
        steps = {"warmup": warmup, "timed": timed, "profiled": profiled}
        check_whole(1, **{f"callbacks.step_profile.{name}": n for name, n in steps.items()})
        self.path = Path(out) / "step_profile.json"
        self.warmup, self.timed, self.profiled = warmup, timed, profiled
        self._profiler = profile(activities=[ProfilerActivity.CPU])
        self._start = self._seconds = 0.0
        self._steps = 0

    def on_fit_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Leave validation out: an epoch may end among the timed steps."""
        trainer.limit_val_batches = 0

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Count the step; start or stop timing and profiling when it is time."""
        self._steps += 1
        if self._steps == self.warmup:
            self._start = time.perf_counter()
        if self._steps == self.warmup + self.timed:
            self._seconds = time.perf_counter() - self._start
            self._profiler.start()
        if self._steps == self.warmup + self.timed + self.profiled:
            self._profiler.stop()
            self._report(trainer.datamodule.batch_size)  # type: ignore[attr-defined]
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Say so if the training was too short to measure."""
        needed = self.warmup + self.timed + self.profiled
        if self._steps >= needed:
            return
        if self._steps >= self.warmup + self.timed:
            self._profiler.stop()
        say(
            f"callbacks=step_profile measured nothing: expected at least {needed} steps, got "
            f"{self._steps}: set steps={needed} or more",
            WARNING,
        )

    def _report(self, batch_size: int) -> None:
        times = {event.key: event.self_cpu_time_total for event in self._profiler.key_averages()}
        total = sum(times.values())
        shares = dict.fromkeys([*KINDS, "rest"], 0.0)
        for operator, microseconds in times.items():
            shares[kind_of(operator)] += microseconds / total
        slowest = sorted(times, key=times.__getitem__, reverse=True)[:SLOWEST]
        figures = {
            "faces_per_second": self.timed * batch_size / self._seconds,
            "milliseconds_per_step": self._seconds / self.timed * 1e3,
            "share": shares,
            "slowest_operators": {name: times[name] / total for name in slowest},
        }
        record = figures | {"batch_size": batch_size, "machine": machine_summary()}
        write_text(self.path, json.dumps(record, indent=2) + "\n")
        rows = [{"faces/s": figures["faces_per_second"], **shares}]
        Console(stderr=True).print(rich_table(rows, title="training step", transpose=True))


def kind_of(operator: str) -> str:
    """The kind in `KINDS` of a profiler's event, or "rest".

    Examples:
        >>> kind_of("aten::convolution_backward"), kind_of("aten::add")
        ('convolution backward', 'rest')
    """
    found = (kind for kind, marks in KINDS.items() if any(mark in operator for mark in marks))
    return next(found, "rest")
