"""Where losses lead."""

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from faceskd.losses import InBox, L1Loss, MSELoss

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "probe_losses.py"))
PATH = TOOL["STEP"] * TOOL["STEPS"]


def test_faces_follow_squares_straight_to_hr_all_by_one_length():
    torch.manual_seed(0)
    hr = 0.4 + 0.2 * torch.rand(2, 3, 8, 8)
    error = torch.randn(2, 3, 8, 8)
    error = error / error.square().mean((1, 2, 3), keepdim=True).sqrt()
    sr = hr + torch.tensor([0.02, 0.04]).reshape(2, 1, 1, 1) * error
    moved = TOOL["follow"](MSELoss(), sr, hr)
    torch.testing.assert_close(moved, sr - PATH * error, rtol=0, atol=1e-6)


def test_a_loss_in_a_box_moves_nothing_else():
    sr, hr = torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.7)
    moved = TOOL["follow"](InBox(box=[0, 0, 4, 8], loss=L1Loss(), side=8), sr, hr)
    assert torch.equal(moved[..., 4:], sr[..., 4:])
    # Half of the face takes the whole length: each pixel moves by its square root of 2.
    torch.testing.assert_close(
        moved[..., :4] - sr[..., :4], torch.full((1, 3, 8, 4), 2**0.5 * PATH)
    )


class Measure:
    """A cosine's stand-in: how near the faces are."""

    def per_image(self, sr, hr, landmarks):
        return -(sr - hr).abs().mean((1, 2, 3))


def test_gains_are_of_each_face():
    torch.manual_seed(0)
    lr = torch.rand(3, 3, 8, 8)
    batch = {"lr": lr, "hr": (lr + 0.1).clamp(0, 1), "boxes": None, "landmarks": None}

    class Same(nn.Module):
        def forward(self, lr, boxes):
            return lr

    figures = TOOL["probe"](Same(), [batch, batch], {"l2": MSELoss()}, Measure())
    assert figures["l2"].shape == (6,)
    assert figures["start"].mean().item() == pytest.approx(-0.1, abs=0.02)
    assert (figures["l2"] > 0.8 * PATH).all()
