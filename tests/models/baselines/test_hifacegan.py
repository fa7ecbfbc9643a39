"""HiFaceGAN's importance pooling and SPADE, against their equations in literal form."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.tiny_faces import randomise
from hypothesis import given, settings
from hypothesis import strategies as st

from faceskd.models.baselines.hifacegan import SPADE, HiFaceGAN, ImportancePool, importance_pool


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 7), width=st.integers(1, 7), seed=st.integers(0, 1000))
def test_importance_pool_is_the_weighted_mean(height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, logits = torch.randn(2, 1, 2, height, width, generator=generator, dtype=torch.float64)
    pooled = importance_pool(x, logits)
    assert pooled.shape == (1, 2, (height + 1) // 2, (width + 1) // 2)
    for c, i, j in np.ndindex(*pooled.shape[1:]):
        numerator = denominator = 0.0
        for u in range(max(2 * i - 1, 0), min(2 * i + 2, height)):
            for v in range(max(2 * j - 1, 0), min(2 * j + 2, width)):
                weight = math.exp(logits[0, c, u, v])
                numerator += weight * x[0, c, u, v].item()
                denominator += weight
        assert pooled[0, c, i, j].item() == pytest.approx(numerator / denominator)


def test_importance_pool_keeps_the_important() -> None:
    x = torch.rand(1, 1, 4, 4)
    logits = torch.zeros_like(x)
    logits[0, 0, 1, 1] = 30
    torch.testing.assert_close(importance_pool(x, logits), x[..., 1:2, 1:2].expand(1, 1, 2, 2))


def test_importance_is_learned_and_bounded() -> None:
    pool = ImportancePool(3)
    x = torch.rand(2, 3, 8, 8)
    pool(x).square().sum().backward()
    assert all(parameter.grad.any() for parameter in pool.parameters())
    half = pool.half()(10 * x.half())  # exp(12) alone is over half precision's range
    assert half.isfinite().all()


def test_spade_is_its_formula() -> None:
    spade = randomise(SPADE(4, guide_channels=3, hidden=8))
    x, guide = torch.randn(2, 4, 6, 6), torch.randn(2, 3, 6, 6)
    hidden = spade.shared(guide)
    gamma, beta = spade.gamma(hidden), spade.beta(hidden)
    mean = x.mean(dim=(2, 3), keepdim=True)
    std = (x.var(dim=(2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    expected = (x - mean) / std * (1 + gamma) + beta
    torch.testing.assert_close(spade(x, guide), expected, rtol=1e-4, atol=1e-4)


def test_spade_modulates_each_pixel() -> None:
    spade = randomise(SPADE(4, guide_channels=3, hidden=4))
    x, guide = torch.randn(1, 4, 12, 12), torch.randn(1, 3, 12, 12)
    other = guide.clone()
    other[..., 6, 6] += 5
    changed = (spade(x, guide) != spade(x, other)).any(dim=1)[0]
    reach = torch.zeros_like(changed)
    reach[4:9, 4:9] = True  # two 3x3 convolutions
    assert changed[6, 6]
    assert not (changed & ~reach).any()


def test_hifacegan_pads_without_a_trace() -> None:
    network = HiFaceGAN(width=4, spade_width=8).eval()
    lr = torch.rand(1, 3, 10, 9)
    padded = F.pad(lr, (0, 3, 0, 2), mode="replicate")
    assert torch.equal(network(lr), network(padded)[..., :80, :72])


def test_hifacegan_gives_colours_in_range() -> None:
    sr = randomise(HiFaceGAN(width=4, spade_width=8))(torch.rand(1, 3, 8, 8))
    assert sr.min() >= 0 and sr.max() <= 1
