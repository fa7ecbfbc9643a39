"""Convolutions whose weights lie as oneDNN's kernels read them, before the first face comes."""

from typing import Any, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PackedConv2d(nn.Module):
    """A bf16 convolution on the CPU; gives what `conv` gives, to the bit.

    oneDNN reads weights in blocks, and PyTorch's own convolution puts them so in each call: 7 % of
    the time of a light student for one face (two cores), 17 % where threads sleep between
    operators (OMP_WAIT_POLICY=passive). Here it is done once, with the operators that
    `torch.compile` uses on the CPU.

    Args:
        conv: plain, in bf16, and not used again.
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
            with torch.autocast("cpu", enabled=False):  # it would pad in fp32
                x = F.pad(x, self.around, mode=self.border)
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.options, "none", [], ""
        )


def can_pack() -> bool:
    """Whether oneDNN is there and has bf16 on this processor."""
    return bool(
        torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def pack(network: nn.Module) -> nn.Module:
    """Pack what convolutions in bf16 it has, in place; where oneDNN cannot, it stays as it is."""
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
