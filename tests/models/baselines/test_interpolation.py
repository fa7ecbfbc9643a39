"""Interpolation as a network gives Pillow's values, and keeps a flat image flat."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from faceskd.common.errors import ConfigError
from faceskd.models.baselines.interpolation import Interpolation, enlarging_matrix

PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@settings(max_examples=25, deadline=None)
@given(
    mode=st.sampled_from(sorted(PILLOW)),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_interpolation_agrees_with_pillow(mode: str, height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).random((3, height, width), dtype=np.float32)
    size = (8 * width, 8 * height)
    expected = [Image.fromarray(channel).resize(size, PILLOW[mode]) for channel in image]
    sr = Interpolation(mode=mode)(torch.from_numpy(image)[None])[0]
    np.testing.assert_allclose(sr, np.stack([np.asarray(c) for c in expected]), atol=2e-6)


@pytest.mark.parametrize("mode", PILLOW)
def test_interpolation_keeps_a_flat_image(mode: str) -> None:
    torch.testing.assert_close(enlarging_matrix(32, 8, mode).sum(dim=1), torch.ones(256))
    sr = Interpolation(mode=mode)(torch.full((1, 3, 4, 4), 0.3, dtype=torch.float64))
    assert sr.dtype == torch.float64
    torch.testing.assert_close(sr, torch.full_like(sr, 0.3), rtol=1e-6, atol=0)


def test_interpolation_refuses_an_unknown_mode() -> None:
    with pytest.raises(ConfigError, match="'area'"):
        Interpolation(mode="area")
