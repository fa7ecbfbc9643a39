"""Building blocks that several networks share."""

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from faceskd.common.images import luminance

SLOPE = 0.2
"""Negative slope of every LeakyReLU, as in DFDNet."""

POWER_ITERATIONS = 300
"""Power iterations from a random start. They find the norms of the released teacher to 0.4 %."""


def conv3x3(channels: int, out: int, *, dilation: int = 1, spectral: bool = False) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size of the map, optionally with spectral norm."""
    conv = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
    if spectral:
        spectral_norm(conv)
    return conv


def conv_pair(channels: int, out: int, *, spectral: bool = False) -> nn.Sequential:
    """Convolution, LeakyReLU, convolution: the unit of DFDNet's decoder and confidence scores."""
    return nn.Sequential(
        conv3x3(channels, out, spectral=spectral),
        nn.LeakyReLU(SLOPE, inplace=True),
        conv3x3(out, out, spectral=spectral),
    )


class ResidualBlock(nn.Module):
    """x + conv(LeakyReLU(conv(x))); maps (B, C, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = conv_pair(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class MultiDilationBlock(nn.Module):
    """x + conv(concatenation of convolutions of x with several dilations); (B, C, H, W) as x.

    DFDNet's block on the deepest feature map. With dilations 1 to 4 it sees neighbourhoods of 3 to
    9 cells at once.
    """

    DILATIONS = (4, 3, 2, 1)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                conv3x3(channels, channels, dilation=dilation, spectral=True),
                nn.LeakyReLU(SLOPE, inplace=True),
            )
            for dilation in self.DILATIONS
        )
        self.fuse = conv3x3(channels * len(self.DILATIONS), channels, spectral=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fuse(torch.cat([branch(x) for branch in self.branches], dim=1))


def shrink(module: nn.Module) -> None:
    """Multiply the parameters of a module by 0.1, so that its first outputs are small."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.1)


def upsample(x: Tensor, factor: int = 2) -> Tensor:
    """Bilinear enlargement. Unlike pixel shuffle, it leaves no regular pattern of pixels."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def bicubic(lr: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement (a = -0.75, as OpenCV), (B, C, H, W) -> (B, C, scale H, scale W)."""
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)


def back_projected(lr: Tensor, residual: Tensor, share: float) -> Tensor:
    """Correct the LR image, so that the SR image made from it agrees better with the LR image.

    The SR image is sr = upsample(lr, n) + residual. One step of iterative back-projection (Irani
    and Peleg, "Improving Resolution by Image Registration", CVGIP 1991) turns it into

        sr + share * upsample(Y(lr - down(sr)), n)

    where Y is the luminance and down(x) the means of n x n blocks. Enlargement is linear, so the
    correction can be added to lr before it is enlarged, which is cheaper.

    Args:
        lr: images (B, 3, H, W).
        residual: the network's residual (B, 3, nH, nW).
        share: strength of the correction; 0 leaves lr unchanged.

    Returns:
        Corrected LR images (B, 3, H, W).
    """
    scale = residual.shape[-1] // lr.shape[-1]
    grey = luminance(lr)
    kept = F.avg_pool2d(upsample(grey, scale), scale) + luminance(F.avg_pool2d(residual, scale))
    return lr + share * (grey - kept)


def random_window(side: int | None, *images: Tensor, step: int = 1) -> list[Tensor]:
    """Cut the same random square out of every image (B, C, H, W), with torch's generator.

    Args:
        side: side of the square in px. None, or a side that is not below the image's, keeps the
            whole images.
        images: images of one size.
        step: the top left corner lies at multiples of this, in px.
    """
    height, width = images[0].shape[-2:]
    if side is None or side >= min(height, width):
        return list(images)
    top, left = (
        step * int(torch.randint((length - side) // step + 1, ())) for length in (height, width)
    )
    return [image[..., top : top + side, left : left + side] for image in images]


def unit_pixels(feature: Tensor, *, eps: float = 1e-6) -> Tensor:
    """Divide each pixel by its norm over the channels: x / sqrt(|x|^2 + eps), (B, C, H, W).

    Because eps is under the root, the gradient is finite where all channels are zero.
    """
    squares = feature.square().sum(1, keepdim=True, dtype=torch.float32)
    return feature * (squares + eps).rsqrt().to(feature.dtype)


class UpsampledKernel(nn.Module):
    """Kernels of a sub-pixel convolution that equals bilinear enlargement and a 3x3 convolution.

    This is our own construction. Enlargement and convolution are both linear. So one convolution at
    the small size, with kernels (4 O, C, 3, 3), can compute the four output pixels of each cell.
    These kernels are computed from the kernel (O, C, 3, 3) of the enlarged map; the enlarged map
    itself is never made. With replicated borders the result is exact at the borders, too.

    An ordinary sub-pixel convolution can give the four pixels of a cell different means, which
    leaves a regular pattern. This one cannot, but it adds no detail finer than its input map. With
    `detail`, each of the four pixels gets a second kernel whose sum is zero for every channel. On
    flat maps it adds nothing, so that no pattern appears there.

    Args:
        channels, out: input and output channels of the 3x3 convolution.
        inner: parametrisation of the kernel of the enlarged map; None for a plain parameter.
        detail: add the second kernels.
    """

    # A kernel reads three rows of the enlarged map. ROWS[pixel][tap] are the weights of the rows
    # above, at and below the cell in each of them, for the upper and the lower pixel of a cell.
    ROWS = (
        ((0.75, 0.25, 0.0), (0.25, 0.75, 0.0), (0.0, 0.75, 0.25)),
        ((0.25, 0.75, 0.0), (0.0, 0.75, 0.25), (0.0, 0.25, 0.75)),
    )
    rows: Tensor

    def __init__(
        self, channels: int, out: int, *, inner: nn.Module | None = None, detail: bool = False
    ) -> None:
        super().__init__()
        self.inner = inner or nn.Identity()
        self.detail = nn.Parameter(torch.zeros(4 * out, channels, 3, 3)) if detail else None
        self.register_buffer("rows", torch.tensor(self.ROWS), persistent=False)

    def forward(self, kernel: Tensor) -> Tensor:
        kernels = torch.einsum("pta,qsb,oits->opqiab", self.rows, self.rows, self.inner(kernel))
        kernels = kernels.flatten(0, 2)
        if self.detail is not None:
            kernels = kernels + self.detail - self.detail.mean(dim=(-2, -1), keepdim=True)
        return kernels

    @torch.no_grad()
    def right_inverse(self, kernels: Tensor) -> Tensor:
        """The kernel of the enlarged map that is closest to `kernels`; sets `detail` to the rest.

        `forward` of the result gives back the same kernels if the four kernels of each cell have
        equal sums.
        """
        out, taps = len(kernels) // 4, self._matrix()
        channels = kernels.shape[1]
        cells = kernels.unflatten(0, (out, 4)).permute(0, 2, 1, 3, 4).flatten(2)
        kernel = cells @ torch.linalg.pinv(taps).T
        if self.detail is not None:  # detail has no mean, so the sums must come from the kernel
            kernel += (cells.sum(-1, keepdim=True) / 4 - kernel.sum(-1, keepdim=True)) / 9
            rest = (cells - kernel @ taps.T).view(out, channels, 4, 3, 3)
            self.detail.copy_(rest.permute(0, 2, 1, 3, 4).flatten(0, 1))
        kernel = kernel.view(out, channels, 3, 3)
        inverse = getattr(self.inner, "right_inverse", nn.Identity())
        return inverse(kernel)

    def _matrix(self) -> Tensor:
        """Linear map (36, 9) from a kernel of the enlarged map to the four kernels of a cell."""
        matrix = torch.einsum("pta,qsb->pqabts", self.rows, self.rows)
        return matrix.reshape(36, 9)


class SharedBias(nn.Module):
    """The same bias for the four pixels of a cell: (O,) -> (4 O,)."""

    def forward(self, bias: Tensor) -> Tensor:
        return bias.repeat_interleave(4)

    def right_inverse(self, biases: Tensor) -> Tensor:
        """One bias of each group of four equal ones."""
        return biases[::4].clone()


def upsampled_conv(
    channels: int, out: int, *, inner: nn.Module | None = None, detail: bool = False
) -> nn.Sequential:
    """conv3x3(bilinear enlargement of x): (B, C, H, W) -> (B, C_out, 2H, 2W).

    Computed as a sub-pixel convolution (Shi et al., CVPR 2016), see `UpsampledKernel`.
    """
    conv = nn.Conv2d(channels, 4 * out, 3, padding=1, padding_mode="replicate")
    kernel = UpsampledKernel(channels, out, inner=inner, detail=detail)
    with torch.no_grad():  # starts without detail
        conv.weight.copy_(kernel(conv.weight[::4]))
    parametrize.register_parametrization(conv, "weight", kernel, unsafe=True)
    parametrize.register_parametrization(conv, "bias", SharedBias(), unsafe=True)
    return nn.Sequential(conv, nn.PixelShuffle(2))


Network = TypeVar("Network", bound=nn.Module)


def fuse(network: Network) -> Network:
    """A frozen copy in eval mode, in which parametrised weights are plain tensors.

    The outputs are the same as those of `network.eval()`. Spectral norms and other
    parametrisations are no longer computed in each call, and other runtimes see plain
    convolutions. The original network is not changed.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if parametrize.is_parametrized(module):
            _fuse_module(module)
    return network.requires_grad_(False)


@torch.no_grad()
def unfuse(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Copy the weights of a fused network into a network with parametrisations: undo `fuse`.

    Several parameters can give the same weight. The `right_inverse` of each parametrisation
    chooses one of them.

    Args:
        network: the network as it is trained, with parametrisations; changed in place.
        state: state dict of the fused network. Weights of other names or shapes are skipped.

    Returns:
        The names in `state` of the weights that were copied.
    """
    copied = []
    for prefix, module in network.named_modules():
        if not parametrize.is_parametrized(module):
            continue
        for name in module.parametrizations:
            weight = state.get(f"{prefix}.{name}")
            if weight is not None and weight.shape == getattr(module, name).shape:
                setattr(module, name, weight.float())
                _settle(module, name)
                copied.append(f"{prefix}.{name}")
    return copied


def settle(network: nn.Module) -> None:
    """Recompute the spectral norms of a network after its weights changed, in place."""
    for module in network.modules():
        parametrizations = getattr(module, "parametrizations", None)
        if isinstance(parametrizations, nn.ModuleDict):
            for name in parametrizations:
                _settle(module, name)


def _settle(module: nn.Module, name: str) -> None:
    """Recompute a spectral norm after its weight changed: an access in train mode iterates."""
    if not list(module.get_submodule(f"parametrizations.{name}").buffers()):
        return  # this parametrisation keeps no state
    training = module.training
    module.train()
    for _ in range(POWER_ITERATIONS):
        getattr(module, name)
    module.train(training)


def _fuse_module(module: nn.Module) -> None:
    """Replace the parametrised weights of one module by plain parameters.

    `parametrize.remove_parametrizations` is not used, because it deletes the properties from the
    class, which the copy shares with the original.
    """
    names = list(module.parametrizations)  # type: ignore[arg-type]
    weights = {name: getattr(module, name).detach() for name in names}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, weight in weights.items():
        module.register_parameter(name, nn.Parameter(weight))
