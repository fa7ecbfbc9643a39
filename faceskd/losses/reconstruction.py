"""Pixel losses between SR and HR images, (B, 3, H, W) in [0, 1] -> scalar, in float32."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class L1Loss(nn.Module):
    """mean |sr - hr|."""

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        return F.l1_loss(sr.float(), hr.float())


class MSELoss(nn.Module):
    """mean (r (sr - hr))^2: the L2 loss of DFDNet's code, and our reading of eq. 4 of Jo et al.

    Args:
        value_range: r, the range of the values that the loss is meant for. 1 for images in [0, 1]
            as they are here; 2 for the loss of the same images in [-1, 1], as DFDNet trains on.
        pool: compare means of pool x pool px instead of pixels. This constrains colour and shape,
            for which a squared error is unbiased, but not texture, which it would smooth.
    """

    def __init__(self, *, value_range: float = 1.0, pool: int = 1) -> None:
        super().__init__()
        self.value_range = value_range
        self.pool = pool

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        error = self.value_range * (sr.float() - hr.float())
        return F.avg_pool2d(error, self.pool).square().mean()


class Charbonnier(nn.Module):
    """mean sqrt((sr - hr)^2 + eps^2): an L1 loss that is smooth at zero (Lai et al., CVPR 2017)."""

    def __init__(self, *, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        return torch.sqrt((sr.float() - hr.float()) ** 2 + self.eps**2).mean()
