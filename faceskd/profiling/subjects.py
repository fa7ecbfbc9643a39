"""Subjects of a profile: a network in one form, and the detection of boxes that it may need.

In every form, a subject is a function from fp32 LR faces to fp32 SR faces. So its time includes the
conversions to and from its number format.
"""

from collections.abc import Callable
from dataclasses import dataclass
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

Prelude = Callable[[Tensor], Tensor]
"""Function: enlarged faces (B, 3, S, S) in [0, 1] -> component boxes (B, 4, 4)."""


@dataclass(frozen=True)
class Method:
    """A function: fp32 LR faces (B, 3, S, S), component boxes (B, 4, 4) -> fp32 SR faces.

    Attributes:
        run: the function.
        scale, size: of the network (`faceskd.models.base.SuperResolver`); S is size / scale.
    """

    run: Callable[[Tensor, Tensor | None], Tensor]
    scale: int = SuperResolver.scale
    size: int = SuperResolver.size

    def __call__(self, lr: Tensor, boxes: Tensor | None) -> Tensor:
        return self.run(lr, boxes)

    def fitted(self, lr: Tensor) -> Tensor:
        """LR faces as large as the network takes them: networks of scale 1 need them enlarged."""
        return enlarge(lr, self.size // self.scale)


@dataclass(frozen=True)
class Subject:
    """How to make one subject. It can be pickled, so that a fresh process can make it, too.

    Attributes:
        build: picklable function that makes the network in fp32; None for a file of unknown origin.
            Subjects with the same `build` and form share the network.
        form: "fp32", "bf16" or "fp16", run by PyTorch, or the format of `file`.
        prelude: function that finds component boxes, within the measured time. None uses typical
            boxes, outside the measured time.
        file: exported file that runs instead of the network.
        precision: number format of the computation; "" for the same as `form`.
        model: name of the network, without the form.
    """

    build: Callable[[], SuperResolver] | None
    form: str = "fp32"
    prelude: Prelude | None = None
    file: Path | None = None
    precision: str = ""
    model: str = ""

    def __post_init__(self) -> None:
        if not self.precision:
            object.__setattr__(self, "precision", self.form)
        if self.file is None and (self.build is None or self.form not in DTYPES):
            raise ConfigError(
                f"expected a network in one of the forms {', '.join(DTYPES)}, or an exported "
                f"file; got the form {self.form!r} without a file"
            )

    def check(self, device: torch.device) -> None:
        """Check quickly whether the subject can run on a device.

        Raises:
            FaceskdError: it cannot run.
        """
        if self.file is None and self.form == "fp16" and device.type != "cuda":
            raise ConfigError(f"fp16 runs on a GPU only: expected device=cuda, got device={device}")

    def load(self, device: torch.device, network: SuperResolver | None = None) -> Method:
        """The subject as a function, run as in `Restorer`, with PyTorch's current thread count.

        Args:
            device: device to run on.
            network: the result of `build`, if it exists already; it is not changed.

        Raises:
            FaceskdError: the subject cannot run here.
        """
        if self.file is not None:
            exported = load_exported(self.file, device=str(device))
            return Method(lambda lr, boxes: exported(lr), exported.scale, exported.size)
        if network is None:
            assert self.build is not None
            network = self.build()
        self.check(device)
        shape = (network.scale, network.size)
        if network.needs_boxes:
            return Method(_with_boxes(network, self.form, device), *shape)
        run = eager(network, precision=self.form, device=str(device))
        return Method(lambda lr, boxes: run(lr), *shape)

    def restorer(self, method: Method) -> Callable[[Tensor], Tensor]:
        """Function from LR faces to SR faces; boxes are detected, or not needed.

        LR faces of 32 px are enlarged for networks of scale 1.
        """
        prelude = self.prelude

        def restore(lr: Tensor) -> Tensor:
            lr = method.fitted(lr)
            return method(lr, prelude(enlarge(lr, method.size)) if prelude else None)

        return restore

    def forward(self, method: Method, lr: Tensor) -> Callable[[], Tensor]:
        """One pass over LR faces (B, 3, 32, 32) on the device, as a function without arguments.

        For networks of scale 1 they are enlarged first, outside the measured time.
        """
        lr = method.fitted(lr)
        if self.prelude is not None:
            restore = self.restorer(method)
            return lambda: restore(lr)
        boxes = typical_boxes(len(lr), method.size).to(lr.device)
        return lambda: method(lr, boxes)


def _with_boxes(
    network: SuperResolver, precision: str, device: torch.device
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """As `faceskd.export.eager.eager`, but for networks that need boxes."""
    dtype = DTYPES[precision]
    layout = torch.contiguous_format if precision == "fp32" else torch.channels_last
    fused = fuse(network).to(checked_device(str(device)), dtype).to(memory_format=layout)

    @torch.inference_mode()
    def run(lr: Tensor, boxes: Tensor | None) -> Tensor:
        given = lr.to(device, dtype).contiguous(memory_format=layout)
        return fused(given, None if boxes is None else boxes.to(device)).float()

    return run
