"""Convolutions with weights stored in the memory layout of oneDNN."""

from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PackedConv2d(nn.Module):
    """A bf16 convolution on the CPU; its output equals that of `conv` bit for bit.

    oneDNN needs weights in a blocked layout. PyTorch's convolution converts them in every call, and
    this takes 7 % of the time of a light student for one face (two cores), or 17 % if threads sleep
    between operators (OMP_WAIT_POLICY=passive). This class converts them only once, with the
    operators that `torch.compile` uses on the CPU.

    Args:
        conv: convolution in bf16; it must not be used afterwards.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.border = None if conv.padding_mode == "zeros" else conv.padding_mode
        self.around = conv._reversed_padding_repeated_twice
        padding = (0, 0) if self.border else conv.padding
        self.options: list[Any] = [padding, conv.stride, conv.dilation, conv.groups]
        self.weight = torch._C._nn.mkldnn_reorder_conv2d_weight(
            conv.weight.detach().contiguous().to_mkldnn(), *self.options
        )
        self.bias = None if conv.bias is None else conv.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C_out, H', W'), bf16."""
        x = x.to(torch.bfloat16)
        if self.border:
            with torch.autocast("cpu", enabled=False):  # autocast would pad in fp32
                x = F.pad(x, self.around, mode=self.border)
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.options, "none", [], ""
        )


def can_pack() -> bool:
    """Whether oneDNN is available and supports bf16 on this processor."""
    return bool(
        torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def pack(network: nn.Module) -> nn.Module:
    """Replace the bf16 convolutions of a network by packed ones if oneDNN supports it, in place."""
    for module in list(network.modules()) if can_pack() else ():
        for name, child in module.named_children():
            if _packs(child):
                setattr(module, name, PackedConv2d(child))
    return network


def _packs(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(module) is nn.Conv2d
        and module.weight.dtype == torch.bfloat16
        and module.weight.device.type == "cpu"
        and not isinstance(module.padding, str)
    )
