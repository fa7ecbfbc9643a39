"""What the machine itself can do: the ceiling that a model's speed is a fraction of.

Matrix products and 3x3 convolutions of a few shapes, measured among the models and in the same
run, because a shared or throttled machine is not the same machine a minute later.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from faceskd.profiling.subjects import FORMS

CONVOLUTIONS = ((64, 256), (128, 128), (256, 64), (512, 32))
"""Channels and side of the convolutions tried: the shapes of the teacher's decoder."""


class Probe:
    """One operation of known work.

    Attributes:
        form: the key of `FORMS` whose ceiling it belongs to.
        name: "matmul", or "conv" with channels and side.
        flops: floating-point operations of a call, two for a multiplication and an addition.
    """

    def __init__(self, form: str, name: str, flops: float, call: Callable[[], Tensor]) -> None:
        self.form, self.name, self.flops, self._call = form, name, flops, call

    def __call__(self) -> Tensor:
        return self._call()


def probes(
    forms: Sequence[str],
    device: torch.device,
    *,
    side: int | None = None,
    batch_size: int | None = None,
    convolutions: Sequence[tuple[int, int]] = CONVOLUTIONS,
) -> list[Probe]:
    """The operations that find a device's ceiling.

    Args:
        forms: keys of `FORMS`.
        device: where they run.
        side: of the matrices; None takes 2048, or 8192 on a GPU.
        batch_size: of the convolutions; None takes 1, or 32 on a GPU.
        convolutions: channels and side of each.
    """
    on_gpu = device.type == "cuda"
    side = side or (8192 if on_gpu else 2048)
    batch_size = batch_size or (32 if on_gpu else 1)
    found = []
    for form in forms:
        dtype, layout = FORMS[form].precision, FORMS[form].layout
        matrix = torch.rand(side, side, device=device).to(dtype)
        found.append(Probe(form, f"matmul {side}", 2 * side**3, _matmul(matrix)))
        for channels, size in convolutions:
            image = torch.rand(batch_size, channels, size, size, device=device, dtype=dtype)
            weight = torch.rand(channels, channels, 3, 3, device=device, dtype=dtype)
            call = _convolution(image.to(memory_format=layout), weight.to(memory_format=layout))
            flops = 2 * 9 * channels**2 * size**2 * batch_size
            found.append(Probe(form, f"conv {channels}x{size}x{size}", flops, call))
    return found


def ceilings(seconds: Mapping[Probe, Sequence[float]]) -> dict[str, dict[str, float]]:
    """FLOP/s of each probe at its best, by form and name."""
    table: dict[str, dict[str, float]] = {}
    for probe, times in seconds.items():
        table.setdefault(probe.form, {})[probe.name] = probe.flops / min(times)
    return table


def _matmul(matrix: Tensor) -> Callable[[], Tensor]:
    return lambda: matrix @ matrix


def _convolution(image: Tensor, weight: Tensor) -> Callable[[], Tensor]:
    return lambda: torch.nn.functional.conv2d(image, weight, padding=1)
