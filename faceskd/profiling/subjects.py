"""What is measured: a network in a form, with what has to run before it.

In every form a subject is one function, from fp32 LR faces to fp32 SR faces: conversions to and
from its number format are in its time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from faceskd.common.errors import ConfigError
from faceskd.common.machine import checked_device
from faceskd.export.eager import DTYPES, eager
from faceskd.export.loading import load_exported
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse
from faceskd.profiling.landmarks import enlarge, typical_boxes

RUNTIMES = {".onnx": ("onnxruntime",), ".pt2": ("torch._inductor.package",)}
"""Modules that run a file of this suffix: what they take by themselves is not the network's."""

Prelude = Callable[[Tensor], Tensor]
"""From enlarged faces (B, 3, 256, 256) in [0, 1] to component boxes (B, 4, 4)."""

Method = Callable[[Tensor, Tensor | None], Tensor]
"""From fp32 LR faces (B, 3, 32, 32) and component boxes (B, 4, 4) to fp32 SR faces."""


@dataclass(frozen=True)
class Subject:
    """How to make what is measured, so that a fresh process can make it too.

    Attributes:
        build: picklable; makes the network in fp32. None: a file of unknown origin. Subjects that
            share it and the form share the network.
        form: "fp32", "bf16" or "fp16", run by PyTorch, or the format of `file`.
        prelude: what finds the component boxes, inside the time that is measured; None gives
            typical boxes, outside it.
        file: what `faceskd export` wrote, to be run instead of the network.
        precision: that it computes in; "" takes the form.
        model: what the network is called, whatever its form.
        imports: modules that the network needs: what they take is not the network's memory.
    """

    build: Callable[[], SuperResolver] | None
    form: str = "fp32"
    prelude: Prelude | None = None
    file: Path | None = None
    precision: str = ""
    model: str = ""
    imports: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not self.precision:
            object.__setattr__(self, "precision", self.form)
        if self.file is None and (self.build is None or self.form not in DTYPES):
            raise ConfigError(
                f"expected a network in a form of {', '.join(DTYPES)}, or an exported file; got "
                f"the form {self.form!r} without a file"
            )

    def check(self, device: torch.device) -> None:
        """Find out cheaply whether it can run.

        Raises:
            FaceskdError: it cannot.
        """
        if self.file is None and self.form == "fp16" and device.type != "cuda":
            raise ConfigError(f"fp16 runs on a GPU only, as device=cuda, got device={device}")

    def load(self, device: torch.device, network: SuperResolver | None = None) -> Method:
        """Ready to run, as `Restorer` runs it, with as many threads as PyTorch has now.

        Args:
            device: where it runs.
            network: what `build` gives, where that was made already; it is not changed.

        Raises:
            FaceskdError: it cannot run here.
        """
        if self.file is not None:
            exported = load_exported(self.file, device=str(device))
            return lambda lr, boxes: exported(lr)
        if network is None:
            assert self.build is not None
            network = self.build()
        self.check(device)
        if network.needs_boxes:
            return _with_boxes(network, self.form, device)
        run = eager(network, precision=self.form, device=str(device))
        return lambda lr, boxes: run(lr)

    def restorer(self, method: Method) -> Callable[[Tensor], Tensor]:
        """From LR faces alone to SR faces: their boxes are found, or not needed."""
        prelude = self.prelude
        return lambda lr: method(lr, prelude(enlarge(lr)) if prelude else None)

    def forward(self, method: Method, lr: Tensor) -> Callable[[], Tensor]:
        """One pass over LR faces (B, 3, 32, 32) on the device, as a function of nothing."""
        if self.prelude is not None:
            restore = self.restorer(method)
            return lambda: restore(lr)
        boxes = typical_boxes(len(lr)).to(lr.device)
        return lambda: method(lr, boxes)


def _with_boxes(network: SuperResolver, precision: str, device: torch.device) -> Method:
    """As `eager`, which is for what users restore with, but for networks that need boxes."""
    dtype = DTYPES[precision]
    layout = torch.contiguous_format if precision == "fp32" else torch.channels_last
    fused = fuse(network).to(checked_device(str(device)), dtype).to(memory_format=layout)

    @torch.inference_mode()
    def run(lr: Tensor, boxes: Tensor | None) -> Tensor:
        given = lr.to(device, dtype).contiguous(memory_format=layout)
        return fused(given, None if boxes is None else boxes.to(device)).float()

    return run
