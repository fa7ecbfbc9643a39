"""Networks run by PyTorch itself, in any precision: what files of weights become."""

from collections.abc import Callable

import torch
from torch import Tensor

from faceskd.errors import ConfigError, WeightsError
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fold

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def eager(
    network: SuperResolver, *, precision: str = "fp32", device: str = "cpu"
) -> Callable[[Tensor], Tensor]:
    """A network as a function of fp32 LR faces (B, 3, 32, 32) that gives fp32 SR faces.

    It is copied and folded. bf16 and fp16 run with channels_last; fp16, on a GPU only, by CUDA
    graphs. Their weights are rounded once, and autocast rounds what convolutions take in; the LR
    face, its enlargement and the last addition stay fp32. Rounded too, they would cost 0.006 LPIPS
    on smooth faces and save nothing.

    Raises:
        ConfigError: an unknown precision, a device that is not there, or fp16 elsewhere than on
            a GPU.
        WeightsError: the network needs component boxes.
    """
    if precision not in DTYPES:
        raise ConfigError(f"expected a precision of {', '.join(DTYPES)}, got {precision!r}")
    if network.needs_boxes:
        raise WeightsError(
            f"expected a student or another network that needs the face only, got "
            f"{type(network).__name__}, which needs component boxes and dictionaries"
        )
    place, dtype = checked_device(device), DTYPES[precision]
    if precision == "fp16" and place.type != "cuda":
        raise ConfigError(
            f"fp16 runs on a GPU only, as device=cuda, got {device!r}; bf16 is what processors like"
        )
    layout = torch.contiguous_format if precision == "fp32" else torch.channels_last
    network = fold(network).to(place, dtype).to(memory_format=layout)

    @torch.inference_mode()
    def run(lr: Tensor) -> Tensor:
        lr = lr.to(place).contiguous(memory_format=layout)
        # Without its cache, which knows nothing of weights that are rounded already.
        with torch.autocast(place.type, dtype, enabled=precision != "fp32", cache_enabled=False):
            return network(lr).float()

    return CudaGraphs(run, device) if precision == "fp16" else run


def checked_device(name: str) -> torch.device:
    """A device by its name.

    Raises:
        ConfigError: it is no name of a device, or PyTorch does not see the device.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"expected a device such as cpu or cuda, got {name!r}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"the device {name!r} is not there: PyTorch sees {torch.cuda.device_count()} GPUs"
        )
    return device


class CudaGraphs:
    """A function of one tensor, recorded as a CUDA graph for each shape and then replayed.

    A light network's kernels are over before the next one is launched; a graph launches all at
    once. The graphs share one pool of memory.
    """

    WARMUP = 3
    """Passes before recording: libraries choose their algorithms and allocate in the first ones."""

    def __init__(self, run: Callable[[Tensor], Tensor], device: str) -> None:
        self._run = run
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        with torch.cuda.device(self._device):
            if x.shape not in self._graphs:
                self._graphs[x.shape] = self._record(x.to(self._device).clone())
            graph, given, out = self._graphs[x.shape]
            given.copy_(x)
            graph.replay()
            return out.clone()

    def _record(self, given: Tensor) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self.WARMUP):
                self._run(given)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            out = self._run(given)
        return graph, given, out
