"""Networks at 512 px: any size, a residual on the input, no grid on flat pictures."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from faceskd.common.config import compose_model
from faceskd.common.errors import ConfigError
from faceskd.models.blocks import fuse
from faceskd.models.photo import PhotoNet, band_energies
from faceskd.models.weights import build_network


@pytest.fixture
def net():
    torch.manual_seed(0)
    return PhotoNet(widths=(8, 16, 16), blocks=2, mixing=(1, 1)).eval()


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (33, 50), (8, 8), (1, 9)])
def test_any_size_comes_back_as_it_was(net, size):
    lr = torch.rand(2, 3, *size)
    assert net(lr).shape == lr.shape


def test_without_its_head_it_changes_nothing(net):
    for parameter in net.head.parameters():
        torch.nn.init.zeros_(parameter)
    lr = torch.rand(1, 3, 48, 48)
    torch.testing.assert_close(net(lr), lr)


def test_a_flat_picture_gets_no_grid(net):
    """The four pixels of a cell have equal sums of weights, so that a flat map stays flat."""
    sr = net(torch.full((1, 3, 256, 256), 0.4))[..., 96:160, 96:160]
    torch.testing.assert_close(sr, sr[..., :1, :1].expand_as(sr), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("name", "least", "most"), [("photo_m", 9, 11), ("photo_s", 3.6, 4.4)])
def test_the_work_of_the_configured_networks(name, least, most):
    network = fuse(build_network(compose_model(name))).to("meta")
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, 512, 512, device="meta"))
    assert least <= counter.get_total_flops() / 2e9 <= most  # GMACs of a face


def test_energies_of_bands_are_those_of_stripes():
    """Stripes of n px have all their energy in the band of n px."""
    column = torch.arange(128)
    for band in range(6):
        stripes = (column // 2**band % 2).float().expand(1, 3, 128, 128)
        energies = (band_energies(stripes) * 2.5 - 9).exp()[0]
        expected = torch.zeros(6)
        expected[band] = 0.25
        torch.testing.assert_close(energies, expected, atol=1e-5, rtol=1e-4)


def test_modulation_depends_on_the_sharpness(net):
    sharp = torch.rand(1, 3, 64, 64)
    before = net(sharp)
    for block in net.body:
        torch.nn.init.normal_(block.modulation.weight)
    assert not torch.allclose(net(sharp), before)


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="expected three widths"):
        PhotoNet(widths=(8, 16))
