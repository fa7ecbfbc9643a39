"""Run a network with PyTorch in fp32, bf16 or fp16; this is how weights files are run."""

import threading
from collections.abc import Callable

import torch
from torch import Tensor, nn

from faceskd.common.checks import check_choice
from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.machine import checked_device
from faceskd.export.packing import pack
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fuse

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
ARITHMETIC = {
    "fp32": "all in fp32",
    "bf16": "weights and what convolutions take in are bf16 (8 significant bits); the enlarged LR "
    "face and the last addition are fp32",
    "fp16": "weights and what convolutions take in are fp16 (11 significant bits); the enlarged LR "
    "face and the last addition are fp32",
}
"""A sentence about each precision, for the cards of files."""


class Served(nn.Module):
    """A fused copy of a network in a precision: fp32 LR faces (B, 3, 32, 32) -> fp32 SR faces.

    bf16 and fp16 run with channels_last. Their weights are rounded once, and autocast rounds the
    inputs of convolutions. The LR face, its enlargement and the last addition stay fp32: rounding
    them makes LPIPS 0.006 worse on smooth faces and saves no time.
    """

    def __init__(self, network: SuperResolver, precision: str, device: torch.device) -> None:
        super().__init__()
        self.dtype = DTYPES[precision]
        self.layout = torch.contiguous_format if precision == "fp32" else torch.channels_last
        self.device = device
        self.network = fuse(network).to(device, self.dtype).to(memory_format=self.layout)

    def forward(self, lr: Tensor) -> Tensor:
        """LR faces on any device -> SR faces on the network's device."""
        lr = lr.to(self.device).contiguous(memory_format=self.layout)
        rounds = self.dtype != torch.float32
        # The cache would keep copies of weights that are rounded already.
        with torch.autocast(self.device.type, self.dtype, enabled=rounds, cache_enabled=False):
            return self.network(lr).float()


def eager(
    network: SuperResolver, *, precision: str = "fp32", device: str = "cpu"
) -> Callable[[Tensor], Tensor]:
    """A network as a function from fp32 LR faces to fp32 SR faces. The network is not changed.

    fp16 runs only on a GPU, with CUDA graphs.

    Raises:
        ConfigError: the precision is unknown, the device does not exist, or fp16 is given without a
            GPU.
        WeightsError: the network needs component boxes.
    """
    check_choice(DTYPES, precision=precision)
    if network.needs_boxes:
        raise WeightsError(
            f"expected a student or another network that needs the face only, got "
            f"{type(network).__name__}, which needs component boxes and dictionaries"
        )
    place = checked_device(device)
    if precision == "fp16" and place.type != "cuda":
        raise ConfigError(
            f"expected device=cuda, because fp16 needs a GPU, got {device!r}; use bf16 on CPU"
        )
    served = Served(network, precision, place)
    pack(served.network)
    run = torch.inference_mode()(served)
    return CudaGraphs(run, device) if precision == "fp16" else run


class CudaGraphs:
    """A function of one tensor, recorded as a CUDA graph for each shape and then replayed.

    The kernels of a light network are so short that launching them takes longer than running them.
    A graph launches all of them at once. While one is recorded, no other thread may allocate memory
    on the GPU, so only one thread of the process runs a graph at a time.
    """

    WARMUP = 3
    """Passes before recording. In the first passes, libraries choose algorithms and allocate."""
    MOST = 16
    """Graphs that are kept, each with the memory of its tensors: those that were used last."""

    _turn = threading.Lock()

    def __init__(self, run: Callable[[Tensor], Tensor], device: str) -> None:
        self._run = run
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._graphs: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        with self._turn, torch.cuda.device(self._device):
            recorded = self._graphs.pop(x.shape, None) or self._record(x.to(self._device).clone())
            self._graphs[x.shape] = recorded  # the last one used is the last one in the dictionary
            if len(self._graphs) > self.MOST:
                del self._graphs[next(iter(self._graphs))]
            graph, given, out = recorded
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
