"""The paper's choice of atoms by one product, and AdaIN, in literal form."""

import math

import numpy as np
import pytest
import torch
from helpers.literal_transfer import literal_scores
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from faceskd.models.transfer import EPS, adain, select, select_literal, statistics, whiten


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


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (2, 3, 4, 5), (2, 2, 3, 4, 5)])
def test_statistics_are_of_the_last_two_axes(shape: tuple[int, ...]) -> None:
    features = torch.randn(shape)
    mean, std = statistics(features)
    assert mean.shape == std.shape == (*shape[:-2], 1, 1)
    numbers = features.double().numpy()
    np.testing.assert_allclose(mean.numpy()[..., 0, 0], numbers.mean((-2, -1)), atol=1e-5)
    np.testing.assert_allclose(
        std.numpy()[..., 0, 0], np.sqrt(numbers.var((-2, -1)) + EPS), rtol=1e-5
    )


def test_a_single_cell_has_statistics_and_no_nan() -> None:
    one = torch.full((2, 3, 1, 1), 5.0)
    assert torch.equal(whiten(one), torch.zeros(2, 3, 1, 1))
    mean, std = statistics(one.half())
    assert mean.dtype == std.dtype == torch.float32
    assert std.flatten().tolist() == pytest.approx([math.sqrt(EPS)] * 6)
    assert product_choice(one, one).shape == (2,)
