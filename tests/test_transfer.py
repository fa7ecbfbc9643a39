"""Dictionary feature transfer: the paper's choice by one product, and boxes put back in place."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from faceskd.components import COMPONENTS
from faceskd.errors import ConfigError
from faceskd.models.transfer import (
    EPS,
    FeatureTransfer,
    _roi_align,
    adain,
    paste,
    select,
    select_literal,
    statistics,
    whiten,
)

TYPICAL = [[10.0, 14, 24, 28], [38.0, 14, 52, 28], [26.0, 26, 38, 38], [18.0, 36, 46, 60]]
"""Component boxes of a face of 64 px."""


def literal_scores(component: Tensor, atoms: Tensor) -> np.ndarray:
    """<F, AdaIN(d_k, F)> of every component and atom in float64, channel by channel: (B, K)."""
    scores = np.zeros((len(component), len(atoms)))
    for b, f in enumerate(component.double().numpy()):
        for k, d in enumerate(atoms.double().numpy()):
            for f_c, d_c in zip(f, d, strict=True):
                normalised = (d_c - d_c.mean()) / np.sqrt(d_c.var() + EPS)
                scores[b, k] += (f_c * (normalised * np.sqrt(f_c.var() + EPS) + f_c.mean())).sum()
    return scores


def product_choice(component: Tensor, atoms: Tensor) -> Tensor:
    return select(component, whiten(atoms).flatten(1))


@st.composite
def lookups(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Components (B, C, S, S) and atoms (K, C, S, S), offset and scaled, some channels flat."""
    batch, atoms = draw(st.integers(1, 3)), draw(st.integers(1, 12))
    channels, size = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    parts = []
    for count in (batch, atoms):
        values = torch.randn(count, channels, size, size, generator=generator)
        values *= 10 ** (4 * torch.rand(1, channels, 1, 1, generator=generator) - 3)
        values += draw(st.sampled_from([0.0, 1.0, -30.0])) * torch.rand(
            1, channels, 1, 1, generator=generator
        )
        if draw(st.booleans()):
            values = values.relu()
        if draw(st.booleans()):
            values[:, 0] = values[:, 0].mean()
        parts.append(values)
    component, stored = parts
    return component, stored.half() if draw(st.booleans()) else stored


@settings(deadline=None, max_examples=200)
@given(lookups())
def test_one_product_chooses_what_the_literal_form_chooses(lookup: tuple[Tensor, Tensor]) -> None:
    component, atoms = lookup
    scores = literal_scores(component, atoms)
    rows = np.arange(len(component))
    product = product_choice(component, atoms).numpy()
    literal = select_literal(component, atoms).numpy()
    # Where float32 cannot tell two atoms apart, either may be chosen; never a worse one.
    size = np.abs(component.double().numpy()).reshape(len(component), -1)
    rounding = 1e-5 * (size * (size + 1)).sum(1)
    for choice in (product, literal):
        assert (scores[rows, choice] >= scores.max(1) - rounding).all()
    runner_up = np.sort(scores, axis=1)[:, -2:].min(1) if scores.shape[1] > 1 else -np.inf
    clear = scores.max(1) - runner_up > 2 * rounding
    assert (product == literal)[clear].all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_choices_are_equal_on_separate_atoms(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    atoms = (torch.randn(40, 8, 5, 5, generator=generator) * 3 + 7).to(dtype)
    component = torch.randn(60, 8, 5, 5, generator=generator).relu() * 5
    choice = product_choice(component, atoms)
    assert torch.equal(choice, select_literal(component, atoms))
    assert torch.equal(choice, torch.from_numpy(literal_scores(component, atoms).argmax(1)))
    assert choice.unique().numel() > 20  # not one atom for everything


def test_an_atom_finds_itself_at_any_offset_and_scale() -> None:
    atoms = torch.randn(20, 4, 6, 6)
    assert product_choice(atoms * 9 + 100, atoms).tolist() == list(range(20))


def test_bfloat16_rows_choose_well_in_spite_of_an_offset() -> None:
    atoms, component = torch.randn(64, 32, 6, 6), torch.randn(50, 32, 6, 6) + 20
    rows = whiten(atoms).flatten(1)
    agreed = (select(component, rows.bfloat16()) == select(component, rows)).float().mean()
    assert agreed > 0.9


def test_identity_of_the_scores() -> None:
    """<F, AdaIN(d, F)> = <F sigma_F, z> + sum_c mu_c sum F_c, in float64."""
    generator = torch.Generator().manual_seed(3)
    component = torch.randn(2, 5, 4, 4, generator=generator, dtype=torch.float64) * 4 + 3
    atoms = torch.randn(7, 5, 4, 4, generator=generator, dtype=torch.float64) - 2
    mean = component.mean((-2, -1), keepdim=True)
    std = (component.var((-2, -1), correction=0, keepdim=True) + EPS).sqrt()
    spread = (atoms.var((-2, -1), correction=0, keepdim=True) + EPS).sqrt()
    z = (atoms - atoms.mean((-2, -1), keepdim=True)) / spread
    constant = (mean.flatten(1) * component.sum((-2, -1))).sum(1)
    product = torch.einsum("bchw,kchw->bk", component * std, z) + constant[:, None]
    np.testing.assert_allclose(product.numpy(), literal_scores(component, atoms), rtol=1e-12)


def test_adain_has_the_moments_of_the_style_and_the_shape_of_the_content() -> None:
    content, style = torch.randn(3, 4, 8, 8) * 5 - 2, torch.randn(3, 4, 8, 8) * 0.3 + 9
    out = adain(content, style)
    torch.testing.assert_close(out.mean((-2, -1)), style.mean((-2, -1)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        out.var((-2, -1), correction=0), style.var((-2, -1), correction=0), rtol=1e-3, atol=1e-4
    )
    for c, o in zip(content.flatten(0, 1), out.flatten(0, 1), strict=True):
        assert np.corrcoef(c.ravel(), o.ravel())[0, 1] == pytest.approx(1, abs=1e-5)


def test_adain_literal() -> None:
    content, style = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 6, 7) * 2 + 1
    for b in range(2):
        for c in range(3):
            x, y = content[b, c].double().numpy(), style[b, c].double().numpy()
            expected = (x - x.mean()) / np.sqrt(x.var() + EPS) * np.sqrt(y.var() + EPS) + y.mean()
            np.testing.assert_allclose(
                adain(content, style)[b, c].numpy(), expected, rtol=1e-4, atol=1e-5
            )


def test_a_single_cell_has_statistics_and_no_nan() -> None:
    one = torch.full((2, 3, 1, 1), 5.0)
    assert torch.equal(whiten(one), torch.zeros(2, 3, 1, 1))
    mean, std = statistics(one.half())
    assert mean.dtype == std.dtype == torch.float32
    assert std.flatten().tolist() == pytest.approx([math.sqrt(EPS)] * 6)
    assert product_choice(one, one).shape == (2,)


def ramp(height: int, width: int) -> Tensor:
    """(1, 2, H, W): x and y of every cell's centre."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack((x, y))[None]


inside = st.tuples(
    st.floats(1, 12), st.floats(1, 12), st.floats(3, 10), st.floats(3, 10)
)  # corner and extent, away from the border of 24 cells


@settings(deadline=None, max_examples=100)
@given(inside, st.integers(3, 12))
def test_cut_out_coordinates_are_those_of_the_box(box: tuple[float, ...], size: int) -> None:
    x, y, w, h = box
    cut = _roi_align(ramp(24, 24), torch.tensor([[x, y, x + w, y + h]]), size)[0]
    centres = (torch.arange(size) + 0.5) / size
    torch.testing.assert_close(cut[0, 0], x + w * centres, atol=1e-4, rtol=0)
    torch.testing.assert_close(cut[1, :, 0], y + h * centres, atol=1e-4, rtol=0)


@settings(deadline=None, max_examples=100)
@given(inside, st.integers(3, 12))
def test_cut_and_paste_of_coordinates_moves_nothing(box: tuple[float, ...], size: int) -> None:
    x, y, w, h = box
    features, boxes = ramp(24, 24), torch.tensor([[x, y, x + w, y + h]])
    out = paste(features, _roi_align(features, boxes, size), boxes)
    # Half a patch's cell at each edge of the box repeats its outermost value; the rest is exact.
    reach = torch.tensor([w, h]).view(1, 2, 1, 1) * (0.5 - 0.5 / size)
    middle = torch.tensor([x + w / 2, y + h / 2]).view(1, 2, 1, 1)
    exact = ((features - middle).abs() <= reach).all(1, keepdim=True).expand(1, 2, -1, -1)
    torch.testing.assert_close(out[exact], features[exact], atol=1e-4, rtol=0)
    assert (out - features).abs().amax() <= max(w, h) / size / 2 + 1e-4
    assert abs((out - features)[exact].sum()) < 1e-2  # no drift to a side


def test_whole_cells_are_put_back_as_they_were() -> None:
    features, patch = torch.randn(1, 3, 16, 16), torch.randn(1, 3, 5, 5)
    out = paste(features, patch, torch.tensor([[4.0, 6, 9, 11]]))
    torch.testing.assert_close(out[..., 6:11, 4:9], patch)


def changed(out: Tensor, features: Tensor) -> Tensor:
    return (out != features).any(1)


boxes_anywhere = st.tuples(
    st.floats(-30, 40), st.floats(-30, 40), st.floats(-5, 60), st.floats(-5, 60)
)


@settings(deadline=None, max_examples=200)
@given(st.lists(boxes_anywhere, min_size=1, max_size=4), st.integers(1, 6))
def test_only_cells_whose_centre_lies_in_the_box_change(
    corners: list[tuple[float, ...]], size: int
) -> None:
    """Beyond the picture, empty or turned inside out: literal membership, cell by cell."""
    boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in corners])
    features = torch.zeros(len(boxes), 2, 11, 13)
    out = paste(features, torch.ones(len(boxes), 2, size, size), boxes)
    assert out.isfinite().all()
    low, high = boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + 1e-3)
    centres = ramp(11, 13)[0]
    slack = 1e-4  # float32 decides at the very edge
    margin = torch.minimum(centres - low[:, :, None, None], high[:, :, None, None] - centres).amin(
        1
    )
    assert changed(out, features)[margin > slack].all()
    assert not changed(out, features)[margin < -slack].any()
    cut = _roi_align(features + 1, boxes, size)
    assert cut.isfinite().all()


@settings(deadline=None, max_examples=50)
@given(st.lists(boxes_anywhere, min_size=3, max_size=3), st.permutations(range(3)))
def test_a_batch_is_its_images_one_by_one(
    corners: list[tuple[float, ...]], order: list[int]
) -> None:
    boxes = torch.tensor([[x, y, x + w, y + h] for x, y, w, h in corners])
    features, patches = torch.randn(3, 2, 12, 12), torch.randn(3, 2, 4, 4)
    alone = [paste(features[i : i + 1], patches[i : i + 1], boxes[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(paste(features, patches, boxes), torch.cat(alone))
    torch.testing.assert_close(
        paste(features[order], patches[order], boxes[order]), torch.cat([alone[i] for i in order])
    )


def test_gradients_of_paste() -> None:
    """It is linear in both maps, so that wide steps are exact although it computes in float32."""
    features = torch.randn(2, 2, 6, 7, dtype=torch.float64, requires_grad=True)
    patches = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[1.2, 0.7, 4.9, 5.1], [-2.0, 3.0, 3.5, 9.0]])
    assert torch.autograd.gradcheck(
        lambda f, p: paste(f, p, boxes), (features, patches), eps=0.5, atol=1e-4, rtol=1e-4
    )


def test_what_a_box_covers_gets_its_gradient_from_the_patch() -> None:
    features = torch.randn(1, 1, 8, 8, requires_grad=True)
    patches = torch.randn(1, 1, 4, 4, requires_grad=True)
    paste(features, patches, torch.tensor([[2.0, 2, 6, 6]])).sum().backward()
    expected = torch.ones(8, 8)
    expected[2:6, 2:6] = 0
    assert torch.equal(features.grad[0, 0], expected)
    torch.testing.assert_close(patches.grad, torch.ones_like(patches))


def stored_atoms(seed: int = 0) -> dict[str, Tensor]:
    """Some channels hardly vary, as those of a trained encoder."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(-4, 0, 6)[:, None, None]
    return {
        name: (torch.randn(5, 6, 3, 3, generator=generator) * scale + 1).half()
        for name in COMPONENTS
    }


def transfer_of(selection: str = "product", *, seed: int = 0) -> FeatureTransfer:
    torch.manual_seed(seed)
    transfer = FeatureTransfer(channels=6, stride=4, selection=selection).eval()
    transfer.load_atoms(stored_atoms(seed))
    return transfer


@pytest.mark.parametrize("seed", range(5))
def test_module_is_the_same_by_either_selection(seed: int) -> None:
    features, boxes = torch.randn(2, 6, 16, 16), torch.tensor([TYPICAL, TYPICAL]) + 1.3
    product, literal = transfer_of(seed=seed), transfer_of(selection="literal", seed=seed)
    with torch.no_grad():
        torch.testing.assert_close(product(features, boxes), literal(features, boxes))


def test_module_literal() -> None:
    """out = F + confidence(atom - F) * atom within each box, step by step."""
    transfer = transfer_of()
    features, boxes = torch.randn(1, 6, 16, 16), torch.tensor([TYPICAL])
    expected = features
    for index, name in enumerate(COMPONENTS):
        cut = _roi_align(features, boxes[:, index] / 4, 3)
        atoms = stored_atoms()[name]
        atom = adain(atoms[literal_scores(cut, atoms).argmax(1)], cut)
        mixed = cut + transfer.confidence[name](atom - cut) * atom
        expected = paste(expected, mixed, boxes[:, index] / 4)
    with torch.no_grad():
        torch.testing.assert_close(transfer(features, boxes), expected, rtol=1e-3, atol=1e-4)


def test_module_leaves_what_lies_outside_all_boxes() -> None:
    features, boxes = torch.randn(1, 6, 16, 16), torch.tensor([TYPICAL])
    with torch.no_grad():
        touched = changed(transfer_of()(features, boxes), features)[0]
    centres = ramp(16, 16)[0].movedim(0, -1) * 4
    covered = torch.zeros(16, 16, dtype=torch.bool)
    for box in boxes[0]:
        covered |= ((centres >= box[:2]) & (centres <= box[2:])).all(-1)
    assert torch.equal(touched, covered)


def test_module_in_any_batch_and_order() -> None:
    transfer = transfer_of()
    features = torch.randn(3, 6, 16, 16)
    shifts = torch.tensor([0.0, 3.7, -40.0])[:, None, None]  # the last leaves the picture
    boxes = torch.tensor([TYPICAL]) + shifts
    with torch.no_grad():
        together = transfer(features, boxes)
        for i in range(3):
            alone = transfer(features[i : i + 1], boxes[i : i + 1])
            torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)
        order = [2, 0, 1]
        shuffled = transfer(features[order], boxes[order])
        torch.testing.assert_close(shuffled, together[order], rtol=1e-4, atol=1e-5)
    assert together.isfinite().all()


def test_module_under_autocast_is_close_and_keeps_the_dtype_of_the_map() -> None:
    transfer, features = transfer_of(), torch.randn(1, 6, 16, 16)
    boxes = torch.tensor([TYPICAL])
    with torch.no_grad():
        expected = transfer(features, boxes)
        with torch.autocast("cpu", torch.bfloat16):
            out = transfer(features, boxes)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected, rtol=0.05, atol=0.05)
    with torch.no_grad():
        narrow = transfer.bfloat16()(features.bfloat16(), boxes)
    assert narrow.dtype == torch.bfloat16
    assert narrow.isfinite().all()


def test_atoms_are_no_part_of_the_state() -> None:
    assert not [key for key in transfer_of().state_dict() if "atoms" in key]


def test_unknown_selection() -> None:
    with pytest.raises(ConfigError, match="'guess'"):
        FeatureTransfer(channels=2, stride=2, selection="guess")
