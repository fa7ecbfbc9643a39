"""Dictionary feature transfer: find the best atom for a facial component and blend it in.

Li et al., "Blind Face Restoration via Deep Multi-scale Component Dictionaries", ECCV 2020.
For one scale and one component, let F be the component cut out of the feature map, and d_k the
atoms of the dictionary:

    score_k = <F, AdaIN(d_k, F)>,  k* = argmax score_k
    out     = F + confidence(AdaIN(d_k*, F) - F) * AdaIN(d_k*, F)

AdaIN need not be computed for every atom. Let z_k be the atom whitened per channel. Then

    <F, AdaIN(d_k, F)> = <F * sigma_F, z_k> + sum_c mu_c * sum_xy F_c

The last term is the same for all k. So one matrix product finds the best atom, and AdaIN is
computed for this atom only. `select_literal` is the form of the paper. Tests prove that both
choose the same atom, and the profiler compares their speed.

To measure what the dictionary does, a component can take its own features instead of an atom:

    out     = F + confidence(F) * F

The layers are the same, but nothing comes from other faces.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from faceskd.common.checks import check_choice
from faceskd.faces.components import COMPONENTS
from faceskd.models.blocks import conv_pair
from faceskd.models.dictionary import FACE_SIZE, atom_size

EPS = 1e-5


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and sqrt(biased variance + eps) over the last two axes (keepdim), in float32.

    The biased variance is used because the unbiased one is NaN for a single pixel.
    """
    variance, mean = torch.var_mean(features.float(), dim=(-2, -1), correction=0, keepdim=True)
    return mean, torch.sqrt(variance + EPS)


def whiten(features: Tensor) -> Tensor:
    """Normalise each channel of (..., H, W) to mean 0 and standard deviation 1."""
    mean, std = statistics(features)
    return (features.float() - mean) / std


def adain(content: Tensor, style: Tensor) -> Tensor:
    """Adaptive instance normalisation: `content` with the mean and std of `style`, (..., C, H, W).

    Huang and Belongie, ICCV 2017.
    """
    mean, std = statistics(style)
    return whiten(content) * std + mean


def select_literal(component: Tensor, atoms: Tensor) -> Tensor:
    """Best atom for each component, as DFDNet computes it: with AdaIN of every atom.

    Args:
        component: (B, C, S, S).
        atoms: (K, C, S, S).

    Returns:
        Indices (B,).
    """
    scores = [(adain(atoms, one[None]) * one.float()[None]).flatten(1).sum(1) for one in component]
    return torch.stack(scores).argmax(1)


def select(component: Tensor, whitened: Tensor) -> Tensor:
    """Best atom for each component by one matrix product; the same choice as `select_literal`.

    Args:
        component: (B, C, S, S).
        whitened: atoms whitened per channel, one per row, (K, C S S).

    Returns:
        Indices (B,).
    """
    mean, std = statistics(component)
    # Whitened atoms sum to zero. So subtracting the mean changes no score, but rounds less in bf16.
    query = (component.float() - mean) * std
    return (query.flatten(1).to(whitened.dtype) @ whitened.T).argmax(1)


OWN = "own"
SELECTIONS = ("product", "literal", OWN)


def cut_out(features: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut one box out of each feature map by RoIAlign (aligned=True, 2x2 samples per cell).

    Dictionaries are built from these cuts and teachers query with them, so both use this function.

    Args:
        features: (B, C, H, W), float32; RoIAlign's CPU kernel has no bfloat16.
        boxes: (B, 4), xyxy in pixels of the map.
        size: side S of the cuts.

    Returns:
        (B, C, S, S).
    """
    from torchvision.ops import roi_align  # a second or two to import, which no student needs

    batch = torch.arange(len(boxes), device=boxes.device, dtype=torch.float32)
    rois = torch.cat((batch[:, None], boxes), dim=1)
    return roi_align(features, rois, size, sampling_ratio=2, aligned=True)


def put_back(features: Tensor, patches: Tensor, boxes: Tensor) -> Tensor:
    """Write patches back into their boxes of the feature maps, resampled bilinearly.

    This is the inverse of `cut_out`. A patch covers its box, pixel centres lie at
    half integers, and a cell of the map is replaced if its centre lies in the box. The function is
    differentiable.

    Args:
        features: (B, C, H, W).
        patches: (B, C, S, S).
        boxes: (B, 4), xyxy in pixels of the map.
    """
    height, width = features.shape[-2:]
    boxes = boxes.float()
    side = int((boxes[:, 2:] - boxes[:, :2]).amax().ceil().clamp(min=1).item()) + 1
    columns = _window(boxes[:, 0], min(side, width), width)  # (B, w)
    rows = _window(boxes[:, 1], min(side, height), height)  # (B, h)
    u = _normalised(columns, boxes[:, 0], boxes[:, 2])
    v = _normalised(rows, boxes[:, 1], boxes[:, 3])
    shape = (len(boxes), rows.shape[1], columns.shape[1])
    grid = torch.stack((u[:, None, :].expand(shape), v[:, :, None].expand(shape)), dim=-1)
    sampled = F.grid_sample(patches.float(), grid, padding_mode="border", align_corners=False)
    inside = (u.abs() <= 1)[:, None, :] & (v.abs() <= 1)[:, :, None]
    # In channels-last order a cell is contiguous in memory, and only the window is written.
    maps = features.permute(0, 2, 3, 1)
    batch = torch.arange(len(boxes), device=boxes.device)[:, None, None]
    cells = (batch, rows[:, :, None], columns[:, None, :])
    values = sampled.to(maps.dtype).permute(0, 2, 3, 1)
    values = torch.where(inside[..., None], values, maps[cells])
    return maps.index_put(cells, values).permute(0, 3, 1, 2)


def _window(start: Tensor, length: int, size: int) -> Tensor:
    """`length` consecutive cells from floor(start), clamped to [0, size); (B, length)."""
    first = start.floor().long().clamp(0, size - length)
    return first[:, None] + torch.arange(length, device=start.device)


def _normalised(cells: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Centres of cells in the coordinates of grid_sample, in which the box is [-1, 1]."""
    extent = (high - low).clamp(min=1e-3)[:, None]
    return (cells + 0.5 - low[:, None]) / extent * 2 - 1


class FeatureTransfer(nn.Module):
    """Dictionary feature transfer on one scale: (B, C, H, W) and boxes -> (B, C, H, W).

    The atoms are buffers that are not part of the state dict, because a dictionary is a separate
    file, as large as a network. `load_atoms` sets them.

    Args:
        channels: channels C of the feature map.
        stride: pixels of the face per cell of the map.
        selection: "product" (fast), "literal" (DFDNet's form, for timing), or "own": no atoms, but
            the component's own features.
        face_size: side of the SR face in px; "own" has the size of the atoms of such faces.
    """

    def __init__(
        self, *, channels: int, stride: int, selection: str = "product", face_size: int = FACE_SIZE
    ) -> None:
        super().__init__()
        check_choice(SELECTIONS, selection=selection)
        self.channels = channels
        self.stride = stride
        self.selection = selection
        self.face_size = face_size
        self.confidence = nn.ModuleDict(
            {component: conv_pair(channels, channels, spectral=True) for component in COMPONENTS}
        )
        for component in COMPONENTS:
            self.register_buffer(f"atoms_{component}", None, persistent=False)

    def load_atoms(self, atoms: Mapping[str, Tensor]) -> None:
        """Store the atoms (K, C, S, S) of each component as rows (K, C S S).

        With "product" they are whitened here, once. With "literal" every call normalises them.
        """
        like = next(self.parameters())
        for component in COMPONENTS:
            kept = atoms[component].to(like.device)
            kept = kept.float() if self.selection == "literal" else whiten(kept)
            setattr(self, f"atoms_{component}", kept.to(like.dtype).flatten(1).contiguous())

    def forward(self, features: Tensor, boxes: Tensor, guide: Tensor | None = None) -> Tensor:
        """Blend the best atoms into a feature map.

        Args:
            features: maps (B, C, H, W).
            boxes: (B, 4, 4), xyxy in face pixels, in the order of COMPONENTS.
            guide: maps (B, C, H, W) that choose the atoms; None: `features` themselves.
        """
        out = features
        precise = features.float()  # once for all components: RoIAlign's CPU kernel has no bfloat16
        guide = precise if guide is None or guide is features else guide.float()
        scaled = boxes.to(device=features.device, dtype=torch.float32) / self.stride
        for index, component in enumerate(COMPONENTS):
            box = scaled[:, index]
            out = put_back(out, self.transfer(precise, component, box, guide), box)
        return out

    def transfer(
        self, features: Tensor, component: str, box: Tensor, guide: Tensor | None = None
    ) -> Tensor:
        """Cut a component out of its box (B, 4), in cells, and blend the best atom into it."""
        if self.selection == OWN:
            return self._from_own(features, component, box)
        atoms = getattr(self, f"atoms_{component}")
        size = math.isqrt(atoms.shape[1] // self.channels)
        shape = (-1, self.channels, size, size)
        with torch.autocast(features.device.type, enabled=False):
            cut = cut_out(features, box, size)
            mean, std = statistics(cut)
            query = cut.detach()
            if guide is not None and guide is not features:
                query = cut_out(guide, box, size)
            if self.selection == "product":
                best = atoms[select(query, atoms)].float().view(shape)
            else:
                rows = atoms[select_literal(query, atoms.view(shape))]
                best = whiten(rows.view(shape))
            atom = best * std + mean
        return self._blend(component, cut, atom, atom - cut)

    def _from_own(self, features: Tensor, component: str, box: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            cut = cut_out(features, box, atom_size(component, self.stride, self.face_size))
        return self._blend(component, cut, cut, cut)

    def _blend(self, component: str, cut: Tensor, atom: Tensor, judged: Tensor) -> Tensor:
        """cut + confidence(judged) * atom."""
        dtype = next(self.confidence.parameters()).dtype
        cut, atom, judged = cut.to(dtype), atom.to(dtype), judged.to(dtype)
        return cut + self.confidence[component](judged) * atom
