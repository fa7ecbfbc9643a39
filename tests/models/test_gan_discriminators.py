"""Discriminators of SRGAN and SRFeat: verdicts, sizes, gradients."""

import pytest
import torch
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.models import VGG19
from faceskd.models.gan_discriminators import (
    ImageAndFeatureDiscriminator,
    SRFeatFeatureDiscriminator,
    SRGANDiscriminator,
)


def small() -> list[tuple[nn.Module, Tensor]]:
    torch.manual_seed(0)
    return [
        (SRGANDiscriminator(image_size=64, width=8, hidden=16), torch.rand(3, 3, 64, 64)),
        (
            SRFeatFeatureDiscriminator(channels=32, feature_size=8, width=8, hidden=16),
            torch.randn(3, 32, 8, 8),
        ),
    ]


def parameters(discriminator: nn.Module) -> int:
    return sum(parameter.numel() for parameter in discriminator.parameters())


def test_full_size() -> None:
    with torch.device("meta"):
        image, feature = SRGANDiscriminator(), SRFeatFeatureDiscriminator()
        assert image(torch.rand(2, 3, 256, 256)).shape == (2, 1)
        assert feature(torch.rand(2, 512, 16, 16)).shape == (2, 1)
    assert parameters(image) == pytest.approx(138.9e6, rel=1e-3)
    assert parameters(feature) == pytest.approx(13.4e6, rel=5e-3)


def test_srgan_has_eight_convolutions_of_its_paper() -> None:
    with torch.device("meta"):
        layers = [m for m in SRGANDiscriminator().modules() if isinstance(m, nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [64, 64, 128, 128, 256, 256, 512, 512]
    assert [layer.stride[0] for layer in layers] == [1, 2] * 4


@pytest.mark.parametrize("batch", [1, 3])
def test_scores_and_gradients(batch: int) -> None:
    for discriminator, x in small():
        x = x[:batch].requires_grad_()
        verdict = discriminator(x)
        assert verdict.shape == (batch, 1)
        verdict.sum().backward()
        assert x.grad is not None and x.grad.isfinite().all() and x.grad.any()
        for name, parameter in discriminator.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_eval_judges_each_face_alone() -> None:
    for discriminator, x in small():
        discriminator(x)
        discriminator.eval()
        alone = torch.cat([discriminator(one[None]) for one in x])
        torch.testing.assert_close(discriminator(x), alone, rtol=1e-4, atol=1e-5)


def test_it_learns_to_tell() -> None:
    for discriminator, real in small():
        fake = real.mean(dim=(2, 3), keepdim=True).expand_as(real)
        optimiser = torch.optim.Adam(discriminator.parameters(), 1e-3)
        loss_of = nn.functional.binary_cross_entropy_with_logits
        labels = torch.tensor([[1.0]] * 3 + [[0.0]] * 3)
        losses = []
        for _ in range(15):
            loss = loss_of(discriminator(torch.cat([real, fake])), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]


def test_refuses_sizes_that_do_not_halve() -> None:
    with pytest.raises(ConfigError, match="divisible by all strides"):
        SRGANDiscriminator(image_size=100, width=4, hidden=4)
    with pytest.raises(ConfigError, match="divisible by all strides"):
        SRFeatFeatureDiscriminator(channels=4, feature_size=6, width=4, hidden=4)


def test_scores_on_images_and_on_their_features():
    torch.manual_seed(0)
    image = SRGANDiscriminator(image_size=64, width=2, hidden=4)
    feature = SRFeatFeatureDiscriminator(channels=16, feature_size=4, width=2, hidden=4)
    vgg = VGG19(width=2, taps=["relu5_1"], weights="random")
    both = ImageAndFeatureDiscriminator(image=image, feature=feature, vgg=vgg)
    images = torch.rand(3, 3, 64, 64, requires_grad=True)
    assert [verdict.shape for verdict in both(images)] == [(3, 1), (3, 1)]
    sum(verdict.sum() for verdict in both(images)).backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in vgg.parameters())
    assert all(parameter.grad is not None for parameter in feature.parameters())
    assert len(ImageAndFeatureDiscriminator(image=image)(images)) == 1
    with pytest.raises(ConfigError, match="expected both feature and vgg or neither"):
        ImageAndFeatureDiscriminator(image=image, feature=feature)
