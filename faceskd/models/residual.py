"""The base class of networks that compute a residual: what is added to the enlarged input."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.models.base import SuperResolver
from faceskd.models.blocks import upsample


class ResidualNet(SuperResolver):
    """SR = enlarged LR + head(last map). A derived class defines `head` and `_maps`.

    Attributes:
        stride: sides of the input are padded to multiples of it; the output is cropped again.
        head: the layer that makes the residual (B, 3, scale H, scale W) from the last map.
    """

    stride: int = 1
    head: nn.Module

    def forward(self, lr: Tensor, boxes: Tensor | None = None) -> Tensor:
        """SR images, without computing the feature map of the full size."""
        return self._restored(lr)[0]

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        sr, maps, last = self._restored(lr)
        return sr, [*maps, upsample(last)]

    @abstractmethod
    def _maps(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """The feature maps below the full size, and the input of the head, at half of it.

        Args:
            x: the input, padded, in [-0.5, 0.5].
        """

    def _enlarged(self, lr: Tensor, residual: Tensor) -> Tensor:
        """The image to which the residual is added."""
        return lr if self.scale == 1 else upsample(lr, self.scale)

    def _restored(self, lr: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        height, width = lr.shape[-2:]
        x = lr
        if self.stride > 1:
            x = F.pad(x, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        maps, last = self._maps(x - 0.5)
        residual = self.head(last)
        if self.stride > 1:
            residual = residual[..., : self.scale * height, : self.scale * width]
        # Three channels in channels-last order are four times slower to enlarge, and twice to add.
        residual = residual.to(lr.dtype, memory_format=torch.contiguous_format)
        return self._enlarged(lr.contiguous(), residual) + residual, maps, last
