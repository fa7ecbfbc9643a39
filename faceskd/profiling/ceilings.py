"""What the machine itself can do: the ceiling that a model's speed is a fraction of.

Matrix products and 3x3 convolutions of a few shapes, measured among the models and in the same
run, because a shared or throttled machine is not the same machine a minute later. Which shape and
layout is best differs from processor to processor, so the best of all is taken, for every batch
size alike: no model looks better because its batch was hard on the probes too.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from faceskd.export.eager import DTYPES

CONVOLUTIONS = ((64, 256), (128, 128), (256, 64), (512, 32))
"""Channels and side of the convolutions tried: the shapes of the teacher's decoder."""
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}


@dataclass(frozen=True, eq=False)
class Probe:
    """One operation of known work.

    Attributes:
        precision: the number format whose ceiling it belongs to.
        name: "matmul" and its side, or "conv" with batch, channels and side, and the layout.
        flops: floating-point operations of a call, two for a multiplication and an addition.
        call: the operation.
        threads: of PyTorch, that it is to run with.
    """

    precision: str
    name: str
    flops: float
    call: Callable[[], Tensor] = field(repr=False)
    threads: int = 1

    def __call__(self) -> Tensor:
        return self.call()


@dataclass(frozen=True)
class Ceiling:
    """The best that one operation reached, in FLOP/s."""

    precision: str
    threads: int
    operation: str
    flops_per_second: float

    @property
    def is_convolution(self) -> bool:
        return self.operation.startswith("conv")


def probes(
    precisions: Sequence[str],
    device: torch.device,
    *,
    batch_sizes: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    side: int | None = None,
    convolutions: Sequence[tuple[int, int]] = CONVOLUTIONS,
) -> list[Probe]:
    """The operations that find a device's ceiling.

    Args:
        precisions: number formats; for those that PyTorch does not multiply there are none.
        device: where they run.
        batch_sizes: of the convolutions. Their sides shrink as batches grow, so that the work
            stays about the same; on a GPU, which small work does not fill, one batch of 32 does.
        threads: numbers of threads to run each with.
        side: of the matrices; None takes 2048, or 8192 on a GPU.
        convolutions: channels and side, at a batch of one, of each.
    """
    on_gpu = device.type == "cuda"
    side = side or (8192 if on_gpu else 2048)
    shapes = [
        (batch, channels, cells >> halvings)
        for batch, halvings in ([(32, 0)] if on_gpu else map(_halvings, sorted({*batch_sizes})))
        for channels, cells in convolutions
    ]
    found: list[Probe] = []
    for precision in (name for name in precisions if name in DTYPES):
        matrix = torch.rand(side, side, device=device).to(DTYPES[precision])
        found.append(Probe(precision, f"matmul {side}", 2 * side**3, _matmul(matrix)))
        found += [
            _convolution(precision, shape, layout, device) for shape in shapes for layout in LAYOUTS
        ]
    return [replace(probe, threads=count) for count in threads for probe in found]


def ceilings(seconds: Mapping[Probe, Sequence[float]]) -> list[Ceiling]:
    """FLOP/s of each probe at its best."""
    return [
        Ceiling(probe.precision, probe.threads, probe.name, probe.flops / min(times))
        for probe, times in seconds.items()
    ]


def best(
    found: Sequence[Ceiling], precision: str, threads: int, *, convolution: bool = False
) -> float | None:
    """The most FLOP/s of a number format and number of threads; None where none was measured."""
    return max(
        (
            ceiling.flops_per_second
            for ceiling in found
            if (ceiling.precision, ceiling.threads) == (precision, threads)
            and (ceiling.is_convolution or not convolution)
        ),
        default=None,
    )


def _matmul(matrix: Tensor) -> Callable[[], Tensor]:
    return lambda: matrix @ matrix


def _convolution(
    precision: str, shape: tuple[int, int, int], layout: str, device: torch.device
) -> Probe:
    """A 3x3 convolution that keeps the shape: batch, channels, side."""
    batch, channels, side = shape

    def make(*size: int) -> Tensor:
        numbers = torch.rand(size, device=device).to(DTYPES[precision])
        return numbers.contiguous(memory_format=LAYOUTS[layout])

    image, weight = make(batch, channels, side, side), make(channels, channels, 3, 3)
    return Probe(
        precision,
        f"conv {batch}x{channels}x{side}x{side} {layout}",
        2 * 9 * channels**2 * side**2 * batch,
        lambda: torch.nn.functional.conv2d(image, weight, padding=1),
    )


def _halvings(batch: int) -> tuple[int, int]:
    """A batch, and how often sides are halved so that its work is nearest to that of one."""
    return batch, round(math.log2(batch) / 2)
