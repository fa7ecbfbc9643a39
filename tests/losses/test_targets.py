"""What is done to targets: softened ones against SciPy's filters, and what is left as it is."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from faceskd.common.errors import ConfigError
from faceskd.losses import Darkening, L1Loss, LocalContrast, WeightedSum

SIDE = 64
BOX = [20, 24, 44, 40]
SPARED = [28, 28, 36, 36]


@pytest.fixture
def faces():
    return torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def soften(faces, **options):
    return LocalContrast(**({"box": BOX, "side": SIDE, "feather": 4.0} | options))(faces)


@pytest.mark.parametrize(
    ("change", "fine", "coarse"), [(-0.4, 1.0, 3.0), (-1.0, 0.7, 2.0), (0.15, 1.4, 5.6)]
)
def test_a_share_of_the_band_is_added_or_taken_away(faces, change, fine, coarse):
    softened = soften(faces, change=change, fine=fine, coarse=coarse)
    inside = (..., slice(26, 38), slice(22, 42))
    numbers = faces.double().numpy()
    band = [
        gaussian_filter(numbers, deviation, axes=(-2, -1), truncate=8.0)
        for deviation in (fine, coarse)
    ]
    expected = numbers + change * (band[0] - band[1])
    np.testing.assert_allclose(softened[inside], expected[inside], atol=2e-6)


def test_around_the_box_and_in_the_spared_one_nothing_changes(faces):
    changed = (soften(faces, spared=SPARED) != faces).any(dim=(0, 1))
    assert not changed[:22].any() and not changed[42:].any()
    assert not changed[:, :18].any() and not changed[:, 46:].any()
    assert not changed[29:35, 29:35].any()
    assert changed[27:37, 22:26].all()


def test_what_is_not_said_is_as_documented(faces):
    said = {"change": -0.4, "fine": 1.0, "coarse": 3.0, "feather": 20.0}
    plain = LocalContrast(box=BOX, side=SIDE)
    torch.testing.assert_close(plain(faces), soften(faces, **said), rtol=0, atol=0)
    darker = Darkening(boxes=[BOX], levels=0.1, side=SIDE)
    expected = Darkening(boxes=[BOX], levels=0.1, side=SIDE, feather=6.0)(faces)
    torch.testing.assert_close(darker(faces), expected, rtol=0, atol=0)
    assert LocalContrast(box=BOX).window.shape == Darkening(boxes=[BOX], levels=0).shift.shape[1:]
    assert LocalContrast(box=BOX).window.shape == (256, 256)


def test_windows_are_no_part_of_the_state():
    """Checkpoints hold what is learnt."""
    assert not LocalContrast(box=BOX).state_dict()
    assert not Darkening(boxes=[BOX], levels=0.1).state_dict()


@pytest.mark.parametrize("change", [-1.0, 1.0])
def test_the_whole_band_may_be_taken_away_or_added(change):
    assert LocalContrast(box=BOX, change=change).change == change


def test_a_border_is_half_a_cosine():
    """As far outside the box as inside it, and half as wide about the box that is spared."""
    window = LocalContrast(box=BOX, side=SIDE, feather=8.0, spared=SPARED).window
    across = window[25]  # a row above the spared box
    inside = np.minimum(np.arange(SIDE) + 0.5 - BOX[0], BOX[2] - np.arange(SIDE) - 0.5)
    literal = 0.5 - 0.5 * np.cos(np.pi * np.clip(inside / 8 + 0.5, 0, 1))
    np.testing.assert_allclose(across / across.max(), literal / literal.max(), atol=1e-6)
    down = window[:, 32] / LocalContrast(box=BOX, side=SIDE, feather=8.0).window[:, 32]
    spared = np.minimum(np.arange(SIDE) + 0.5 - SPARED[1], SPARED[3] - np.arange(SIDE) - 0.5)
    literal = 0.5 + 0.5 * np.cos(np.pi * np.clip(spared / 4 + 0.5, 0, 1))
    np.testing.assert_allclose(down[24:40], literal[24:40], atol=1e-6)


def test_flat_faces_stay_and_a_change_of_zero_does_nothing(faces):
    flat = torch.full((1, 3, SIDE, SIDE), 0.3)
    torch.testing.assert_close(soften(flat, box=[0, 0, SIDE, SIDE]), flat)
    torch.testing.assert_close(soften(faces, change=0.0), faces)


def test_boxes_become_darker_by_as_much(faces):
    two = [[8, 10, 24, 26], [40, 10, 56, 26]]
    darker = faces - Darkening(boxes=two, levels=0.1, feather=4.0, side=SIDE)(faces)
    for left in (8, 40):
        inside = darker[..., 12:24, left + 2 : left + 14]
        torch.testing.assert_close(inside, torch.full_like(inside, 0.1))
        border = darker[0, 0, 18, left - 2 : left + 2]
        assert (border.diff() > 0).all()
    assert not darker[..., :8, :].any() and not darker[..., 28:, :].any()
    assert not darker[..., 26:38].any()
    torch.testing.assert_close(Darkening(boxes=two, levels=0, side=SIDE)(faces), faces)
    rgb = Darkening(boxes=two, levels=[0.1, 0.0, -0.1], feather=4.0, side=SIDE)(faces)
    torch.testing.assert_close(rgb, faces - darker * torch.tensor([1, 0, -1])[:, None, None])


def test_every_term_of_a_sum_sees_what_was_done_to_the_target(faces):
    softening = LocalContrast(box=BOX, side=SIDE)
    darkening = Darkening(boxes=[BOX], levels=0.1, side=SIDE)
    loss = WeightedSum(
        terms={name: {"weight": 1.0, "loss": L1Loss()} for name in "ab"},
        targets={"soft": softening, "nothing": None, "dark": darkening},
    )
    sr, target = faces.flip(-1).requires_grad_(), darkening(softening(faces))
    total, parts = loss(sr, faces)
    expected = (sr - target).abs().mean()
    assert expected != (sr - faces).abs().mean()
    torch.testing.assert_close(parts["a"], expected)
    torch.testing.assert_close(total, 2 * expected)
    torch.testing.assert_close(loss(target, faces)[0], torch.tensor(0.0))


def test_a_sum_of_no_terms_is_zero(faces):
    total, parts = WeightedSum(terms=None)(faces, faces.flip(-1))
    assert total == 0
    assert parts == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"change": 1.5}, r"change in \[-1, 1\], got 1.5"),
        ({"change": -1.5}, r"change in \[-1, 1\], got -1.5"),
        ({"fine": 0.0}, "0 < fine < coarse, got 0.0 and 3.0"),
        ({"fine": 3.0}, "0 < fine < coarse, got 3.0 and 3.0"),
        ({"fine": 3.0, "coarse": 1.0}, "fine < coarse, got 3.0 and 1.0"),
        ({"box": [9, 9, 9, 12]}, "left, top, right, bottom"),
        ({"spared": [9, 9, 12, 9]}, "left, top, right, bottom"),
        ({"side": 32}, "faces of 32x32 pixels, got 64x64"),
    ],
)
def test_what_it_cannot_do_is_refused(options, message, faces):
    with pytest.raises(ConfigError, match=message):
        soften(faces, **options)


def test_darkening_refuses_the_same(faces):
    with pytest.raises(ConfigError, match="left, top, right, bottom"):
        Darkening(boxes=[BOX, [9, 9, 9, 12]], levels=0.1)
    with pytest.raises(ConfigError, match="faces of 256x256 pixels, got 64x64"):
        Darkening(boxes=[BOX], levels=0.1)(faces)
    with pytest.raises(ConfigError, match=r"red, green and blue, got \[0.1, 0.2\]"):
        Darkening(boxes=[BOX], levels=[0.1, 0.2])
