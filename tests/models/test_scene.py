"""The network for backgrounds: any size, a residual on the input, light enough."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from faceskd.common.config import compose_model
from faceskd.models.blocks import fuse
from faceskd.models.scene import SceneNet
from faceskd.models.weights import build_network
from faceskd.restore.background import HALO


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (4, 4), (1, 9)])
def test_any_size_comes_back_as_it_was(size):
    lr = torch.rand(2, 3, *size)
    assert SceneNet(width=8, blocks=1, narrow=8)(lr).shape == lr.shape


def test_a_flat_picture_gets_no_grid():
    torch.manual_seed(0)
    sr = SceneNet(width=8, blocks=1, narrow=8).eval()(torch.full((1, 3, 160, 160), 0.4))
    middle = sr[..., 64:96, 64:96]
    torch.testing.assert_close(middle, middle[..., :1, :1].expand_as(middle), atol=1e-5, rtol=0)


def test_at_most_one_gmac_for_256_px():
    network = fuse(build_network(compose_model("scene"))).to("meta")
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, 256, 256, device="meta"))
    assert 0.5 < counter.get_total_flops() / 2e9 <= 1


def test_no_pixel_sees_farther_than_the_halo_of_a_tile():
    torch.manual_seed(0)
    network = build_network(compose_model("scene"))
    side = 4 * HALO
    lr = torch.rand(1, 3, side, side, requires_grad=True)
    network(lr)[0, :, side // 2, side // 2].sum().backward()
    seen = lr.grad.abs().sum((0, 1)).nonzero()
    assert (seen - side // 2).abs().max() <= HALO
