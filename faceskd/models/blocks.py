"""Pieces that several networks are made of."""

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
"""Negative slope of every LeakyReLU in DFDNet and here."""

POWER_ITERATIONS = 300
"""From chance to within 0.4 % of the norm, for the kernels of the teacher that is released."""


def conv3x3(channels: int, out: int, *, dilation: int = 1, spectral: bool = False) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size of the map, spectrally normalised on demand."""
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

    def __init__(self, channels: int, *, spectral: bool = False) -> None:
        super().__init__()
        self.body = conv_pair(channels, channels, spectral=spectral)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class MultiDilationBlock(nn.Module):
    """Convolutions of several dilations side by side, convolved back together and added.

    DFDNet's block on the deepest feature map: one pass sees neighbourhoods of 3 to 9 px.
    """

    def __init__(self, channels: int, dilations: tuple[int, ...] = (4, 3, 2, 1)) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                conv3x3(channels, channels, dilation=dilation, spectral=True),
                nn.LeakyReLU(SLOPE, inplace=True),
            )
            for dilation in dilations
        )
        self.fuse = conv3x3(channels * len(dilations), channels, spectral=True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fuse(torch.cat([branch(x) for branch in self.branches], dim=1))


def shrink(module: nn.Module, factor: float = 0.1) -> None:
    """Scale a module's initial parameters, so that a network starts near what it adds to."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(factor)


def upsample(x: Tensor, factor: int = 2) -> Tensor:
    """Bilinear enlargement; unlike pixel-shuffle it leaves no grid."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def bicubic(lr: Tensor, scale: int) -> Tensor:
    """Bicubic enlargement (a = -0.75, as OpenCV), (B, C, H, W) -> (B, C, scale H, scale W)."""
    return F.interpolate(lr, scale_factor=scale, mode="bicubic", align_corners=False)


def back_projected(lr: Tensor, residual: Tensor, share: float) -> Tensor:
    """LR images such that upsample(lr, n) + residual, made small again, is nearer to what lr was.

    sr + share * upsample(Y(lr - down(sr)), n) with sr = upsample(lr, n) + residual, Y for luminance
    and down for means of n x n blocks: one step of iterative back-projection (Irani and Peleg,
    "Improving Resolution by Image Registration", CVGIP 1991). Everything in it is linear, so that
    it is done at the size of lr: what is added there is enlarged with it.

    Args:
        lr: (B, 3, H, W).
        residual: (B, 3, nH, nW), as its network made it of lr.
        share: 0 leaves lr as it is.
    """
    scale = residual.shape[-1] // lr.shape[-1]
    grey = luminance(lr)
    kept = F.avg_pool2d(upsample(grey, scale), scale) + luminance(F.avg_pool2d(residual, scale))
    return lr + share * (grey - kept)


def random_window(side: int | None, *images: Tensor, step: int = 1) -> list[Tensor]:
    """The same square of every image (B, C, H, W), drawn from torch's generator.

    Args:
        side: px; None, or one that no image exceeds, keeps them whole.
        images: of one size.
        step: its corner is at multiples of this, px.
    """
    height, width = images[0].shape[-2:]
    if side is None or side >= min(height, width):
        return list(images)
    top, left = (
        step * int(torch.randint((length - side) // step + 1, ())) for length in (height, width)
    )
    return [image[..., top : top + side, left : left + side] for image in images]


def unit_pixels(feature: Tensor, *, eps: float = 1e-6) -> Tensor:
    """x / sqrt(|x|^2 + eps), with |x| over the channels of each pixel; maps (B, C, H, W).

    With eps under the root the gradient is finite where all channels are zero.
    """
    squares = feature.square().sum(1, keepdim=True, dtype=torch.float32)
    return feature * (squares + eps).rsqrt().to(feature.dtype)


class UpsampledKernel(nn.Module):
    """Parametrises a sub-pixel convolution as a 3x3 convolution of the bilinearly enlarged map.

    Ours. Enlarging and convolving are both linear, so that one convolution at the small size can
    compute the four pixels of each cell: its kernels (4 O, C, 3, 3) are made of the one that the
    enlarged map, which is never made, would be convolved with, (O, C, 3, 3). With replicated
    borders the two are equal there too.

    A sub-pixel convolution that is trained as such may give the four pixels different means, and
    leaves a grid; this one cannot, but makes no finer detail than its map has. With `detail` each
    pixel has a kernel of its own on top, whose sum is zero for every channel: where maps are flat,
    or on average, it adds nothing, and no grid.

    Args:
        channels, out: of the convolution of the enlarged map.
        inner: what parametrises the kernel of the enlarged map itself; None for nothing.
        detail: see above.
    """

    # What rows above, at and below a cell weigh in the three rows of the enlarged map that a
    # kernel reads, for the upper and for the lower pixel of the cell.
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
        """The kernel of the enlarged map that is nearest to these, with their difference as detail.

        Made again of both, kernels come out as they were if those of a cell have equal sums, or
        equal ones up to `detail`. Sets `detail`.
        """
        out, taps = len(kernels) // 4, self._matrix()
        channels = kernels.shape[1]
        cells = kernels.unflatten(0, (out, 4)).permute(0, 2, 1, 3, 4).flatten(2)
        kernel = cells @ torch.linalg.pinv(taps).T
        if self.detail is not None:  # has no mean: the sum of a kernel is the enlarged map's
            kernel += (cells.sum(-1, keepdim=True) / 4 - kernel.sum(-1, keepdim=True)) / 9
            rest = (cells - kernel @ taps.T).view(out, channels, 4, 3, 3)
            self.detail.copy_(rest.permute(0, 2, 1, 3, 4).flatten(0, 1))
        kernel = kernel.view(out, channels, 3, 3)
        inverse = getattr(self.inner, "right_inverse", nn.Identity())
        return inverse(kernel)

    def _matrix(self) -> Tensor:
        """What the taps of the enlarged map's kernel add to those of a cell's four, (36, 9)."""
        matrix = torch.einsum("pta,qsb->pqabts", self.rows, self.rows)
        return matrix.reshape(36, 9)


class SharedBias(nn.Module):
    """One bias for the four pixels of a cell: (O,) -> (4 O,)."""

    def forward(self, bias: Tensor) -> Tensor:
        return bias.repeat_interleave(4)

    def right_inverse(self, biases: Tensor) -> Tensor:
        """The bias of four equal ones."""
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
    """A copy for inference: eval mode, frozen, parametrised weights computed once and for all.

    Outputs are those of `network.eval()`, but no norm is computed at each call any more, and
    other runtimes see plain convolutions. The original stays as it is.
    """
    network = copy.deepcopy(network).eval()
    for module in network.modules():
        if parametrize.is_parametrized(module):
            _fuse_module(module)
    return network.requires_grad_(False)


@torch.no_grad()
def unfuse(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Set parametrised weights to those of a fused network; what `fuse` is undone with.

    Many parameters make the same weight; each parametrisation's `right_inverse` says which are
    taken.

    Args:
        network: with parametrisations, as it is trained; changed in place.
        state: of the same network, fused; weights of other names or shapes are left out.
    """
    for prefix, module in network.named_modules():
        if not parametrize.is_parametrized(module):
            continue
        for name in module.parametrizations:
            weight = state.get(f"{prefix}.{name}")
            if weight is not None and weight.shape == getattr(module, name).shape:
                setattr(module, name, weight.float())
                _settle(module, name)


def _settle(module: nn.Module, name: str) -> None:
    """Let a spectral norm find its new weight's: in training each access is a power iteration."""
    if not list(module.get_submodule(f"parametrizations.{name}").buffers()):
        return  # nothing is remembered between accesses
    training = module.training
    module.train()
    for _ in range(POWER_ITERATIONS):
        getattr(module, name)
    module.train(training)


def _fuse_module(module: nn.Module) -> None:
    """`parametrize.remove_parametrizations` would spoil the original.

    The two copies share the class that carries the parametrised properties, and it deletes them.
    """
    names = list(module.parametrizations)  # type: ignore[arg-type]
    weights = {name: getattr(module, name).detach() for name in names}
    module.__class__ = parametrize.type_before_parametrizations(module)
    del module.parametrizations
    for name, weight in weights.items():
        module.register_parameter(name, nn.Parameter(weight))
