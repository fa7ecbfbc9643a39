"""Losses of SRGAN and SRFeat against their literal forms."""

import math

import pytest
import torch

from faceskd.losses import PerceptualLoss
from faceskd.losses.cross_entropy import CrossEntropy
from faceskd.models import VGG19


def test_cross_entropy_is_its_literal_form():
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    loss = CrossEntropy()
    generator = -(math.log(sigmoid(0.5)) + math.log(sigmoid(3.0))) / 2
    discriminator = -(math.log(sigmoid(2.0)) + math.log(sigmoid(-1.0))) / 2
    discriminator -= (math.log(1 - sigmoid(0.5)) + math.log(1 - sigmoid(3.0))) / 2
    assert loss.generator([fake]).item() == pytest.approx(generator, rel=1e-5)
    assert loss.discriminator([real], [fake]).item() == pytest.approx(discriminator, rel=1e-5)
    assert loss.generator([fake, fake]).item() == pytest.approx(2 * generator, rel=1e-5)


def test_content_loss_is_a_relative_squared_error():
    torch.manual_seed(0)
    vgg = VGG19(width=2, taps=["relu2_1"], weights="random")
    sr, hr = torch.rand(2, 3, 16, 16, requires_grad=True), torch.rand(2, 3, 16, 16)
    loss = PerceptualLoss(vgg=vgg, distance="squared")(sr, hr)
    a, b = (vgg(x)[0].detach().numpy() for x in (sr, hr))
    assert loss.item() == pytest.approx(((a - b) ** 2).mean() / (b**2).mean(), rel=1e-4)
    loss.backward()
    assert sr.grad.abs().sum() > 0
    assert PerceptualLoss(vgg=vgg, distance="squared")(hr, hr).item() == 0
    assert not any(parameter.requires_grad for parameter in vgg.parameters())
