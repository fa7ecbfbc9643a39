"""The machine's ceiling: the highest FLOP/s it reaches, to which a model's speed is compared.

Matrix products and 3x3 convolutions of several shapes are measured in the same run as the models,
in turn with them, because the speed of a shared or throttled machine changes within minutes. The
best shape and layout differ between processors. So the ceiling is the best of all shapes and
layouts, and it is the same for all batch sizes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from faceskd.export.eager import DTYPES

CONVOLUTIONS = ((64, 256), (128, 128), (256, 64), (512, 32))
"""(channels, side) of the convolutions: the shapes in the teacher's decoder."""
LAYOUTS = {"nchw": torch.contiguous_format, "nhwc": torch.channels_last}


@dataclass(frozen=True, eq=False)
class Probe:
    """One operation with a known number of floating-point operations.

    Attributes:
        precision: number format.
        name: "matmul" and the side, or "conv" with batch, channels, sides and layout.
        flops: floating-point operations of a call; a multiplication and an addition are two.
        call: the operation.
        threads: number of PyTorch threads to run it with.
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
    """The highest FLOP/s of one operation."""

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
    """The operations that are measured to find the ceiling of a device.

    Args:
        precisions: number formats. Those that PyTorch does not compute in are skipped.
        device: device of the operations.
        batch_sizes: batch sizes of the convolutions. Sides shrink for larger batches, so that the
            work stays about the same. On a GPU, one batch of 32 is used instead, because small
            operations do not fill it.
        threads: numbers of threads; each operation runs with each.
        side: side of the matrices; None for 2048, or 8192 on a GPU.
        convolutions: (channels, side) of each convolution at batch size 1.
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
    """The highest FLOP/s of each probe."""
    return [
        Ceiling(probe.precision, probe.threads, probe.name, probe.flops / min(times))
        for probe, times in seconds.items()
    ]


def best(
    found: Sequence[Ceiling], precision: str, threads: int, *, convolution: bool = False
) -> float | None:
    """The highest FLOP/s for a number format and number of threads; None if not measured."""
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
    """A 3x3 convolution of maps with shape (batch, channels, side)."""
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
    """The batch size, and how often sides are halved so that the work is that of batch size 1."""
    return batch, round(math.log2(batch) / 2)
