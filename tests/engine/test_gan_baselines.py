"""SRGAN and SRFeat keep the image when their discriminator wins."""

import pytest
import torch
import torch.nn.functional as F

from faceskd.common.config import compose
from faceskd.engine.building import build_engine
from faceskd.engine.resumable import trained_parameters
from faceskd.models.blocks import upsample

TINY = (
    "name=test",
    "out=out",
    "engine.metrics=[psnr]",
    "model.width=8",
    "model.blocks=1",
    "engine.discriminator.image.width=4",
    "engine.discriminator.image.hidden=8",
    "+engine.discriminator.image.image_size=64",
    "losses.terms.content.loss.vgg.width=2",
    "losses.terms.content.loss.vgg.weights=random",
)
FEATURE = (
    "engine.discriminator.vgg.width=2",
    "engine.discriminator.vgg.weights=random",
    "engine.discriminator.feature.channels=16",
    "engine.discriminator.feature.width=4",
    "engine.discriminator.feature.hidden=8",
    "+engine.discriminator.feature.feature_size=4",
)
MOST_LOST = 3.0  # dB


def descend(optimizer, loss, parameters):
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1)
    optimizer.step()


@pytest.mark.parametrize(
    ("experiment", "more"),
    [("srgan", ["model=srresnet_narrow"]), ("srfeat", ["model=srfeat_narrow", *FEATURE])],
)
def test_a_discriminator_that_is_ahead_does_not_destroy_the_image(experiment, more):
    torch.manual_seed(0)
    engine = build_engine(compose("train", [f"experiment={experiment}", *more, *TINY])).train()
    generator = torch.Generator().manual_seed(1)
    hr = upsample(torch.rand(4, 3, 8, 8, generator=generator), 8)
    hr = (hr + 0.1 * torch.randn(hr.shape, generator=generator)).clamp(0, 1)
    batch = {"lr": F.avg_pool2d(hr, 8), "hr": hr}

    def psnr():
        with torch.no_grad():
            sr = engine.network(batch["lr"]).clamp(0, 1)
        return -10 * (sr - hr).square().mean().log10().item()

    network, judge = engine.network.parameters(), trained_parameters(engine.discriminator)
    network = list(network)
    first = torch.optim.Adam(network, 2e-3)
    for _ in range(60):  # the pixel phase
        descend(first, (engine.network(batch["lr"]) - hr).abs().mean(), network)
    before = psnr()
    of_judge = torch.optim.Adam(judge, 1e-3)
    for _ in range(20):  # the discriminator gets ahead, as in trainings of real size
        fake = engine.network(batch["lr"]).detach()
        descend(of_judge, engine.discriminator_loss((hr, fake)), judge)
    second = torch.optim.Adam(network, 1e-3)
    for _ in range(10):
        loss, _, kept = engine.generator_loss(batch)
        descend(second, loss, network)
        descend(of_judge, engine.discriminator_loss(kept), judge)
    assert psnr() > before - MOST_LOST
