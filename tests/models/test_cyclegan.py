"""CycleGAN's networks: the layers of the paper, and what each score sees."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from faceskd.common.config import compose_model
from faceskd.models import PatchGAN
from faceskd.models.cyclegan import CycleGenerator
from faceskd.models.weights import build_network


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (4, 4), (1, 9)])
def test_any_size_comes_back_as_it_was(size):
    image = torch.rand(2, 3, *size)
    out = CycleGenerator(width=4, blocks=1)(image)
    assert out.shape == image.shape
    assert 0 <= out.min() <= out.max() <= 1


def test_the_generator_is_that_of_the_appendix():
    with torch.device("meta"):
        network = build_network(compose_model("cyclegan"))
    convs = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    layers = [(c.out_channels, c.kernel_size[0], c.stride[0]) for c in convs]
    assert layers == [
        *[(64, 7, 1), (128, 3, 2), (256, 3, 2)],
        *[(256, 3, 1)] * 18,
        *[(128, 3, 1), (64, 3, 1), (3, 7, 1)],
    ]
    assert all(conv.padding_mode == "reflect" for conv in convs)
    norms = [part for part in network.modules() if isinstance(part, nn.InstanceNorm2d)]
    assert len(norms) == len(convs) - 1


def test_a_pass_is_the_same_written_out():
    """Literal layers with torch's functions, for one block and a size that needs no padding."""
    torch.manual_seed(0)
    network, image = CycleGenerator(width=2, blocks=1), torch.rand(2, 3, 16, 24)
    weights = [p for name, p in network.named_parameters() if name.endswith("weight")]

    def conv(x, weight, stride=1):
        pad = weight.shape[-1] // 2
        x = F.conv2d(F.pad(x, (pad,) * 4, mode="reflect"), weight, stride=stride)
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
        return (x - mean) / (variance + 1e-5).sqrt()

    x = conv(2 * image - 1, weights[0]).relu()
    x = conv(conv(x, weights[1], 2).relu(), weights[2], 2).relu()
    x = x + conv(conv(x, weights[3]).relu(), weights[4])
    for weight in weights[5:7]:
        x = conv(F.interpolate(x, scale_factor=2, mode="bilinear"), weight).relu()
    x = F.conv2d(F.pad(x, (3,) * 4, mode="reflect"), weights[7], network.head.bias)
    torch.testing.assert_close(network(image), (x.tanh() + 1) / 2, rtol=1e-4, atol=1e-5)


def test_weights_start_as_the_paper_says():
    torch.manual_seed(0)
    for network in (CycleGenerator(width=16, blocks=2), PatchGAN(width=16)):
        values = torch.cat([p.detach().flatten() for p in network.parameters() if p.ndim == 4])
        assert values.std().item() == pytest.approx(0.02, rel=0.02)
        assert values.mean().item() == pytest.approx(0, abs=1e-3)


def test_a_score_sees_70_by_70_pixels():
    network, image = PatchGAN(width=2), torch.rand(1, 3, 128, 128, requires_grad=True)
    for part in network.body:  # a norm of the whole map sees everything
        if isinstance(part, nn.InstanceNorm2d):
            part.forward = lambda x: x
    scores = network(image)
    assert scores.shape == (1, 1, 14, 14)
    scores[0, 0, 7, 7].backward()
    rows, columns = image.grad.abs().sum((0, 1)).nonzero().T
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == 70


def test_the_patchgan_is_that_of_the_paper():
    convs = [part for part in PatchGAN().modules() if isinstance(part, nn.Conv2d)]
    assert [(c.out_channels, c.stride[0]) for c in convs] == [
        *[(64, 2), (128, 2), (256, 2), (512, 1), (1, 1)]
    ]
    assert {conv.kernel_size for conv in convs} == {(4, 4)}
