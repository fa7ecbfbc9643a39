"""Discriminators of images and of features."""

import pytest
import torch
from torch import nn

from faceskd.common.errors import ConfigError
from faceskd.models import (
    VGG19,
    FeatureDiscriminators,
    MultiScaleDiscriminator,
    PatchDiscriminator,
    ProjectedDiscriminator,
)


class TestDiscriminators:
    @pytest.mark.parametrize("layers", [1, 2, 3])
    def test_patch_scores(self, layers: int) -> None:
        scores = PatchDiscriminator(channels=5, width=4, layers=layers)(torch.rand(3, 5, 32, 32))
        assert scores.shape == (3, 1, 32 // 2**layers, 32 // 2**layers)

    def test_widths_double_up_to_eight_times(self) -> None:
        network = PatchDiscriminator(channels=3, width=2, layers=6)
        outs = [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)]
        assert outs == [2, 4, 8, 16, 16, 16, 1]

    def test_each_scale_has_its_judge(self) -> None:
        network, image = MultiScaleDiscriminator(scales=3, width=2), torch.rand(2, 3, 64, 64)
        scores = network(image)
        assert [score.shape[-1] for score in scores] == [8, 4, 2]
        halved = image.view(2, 3, 32, 2, 32, 2).mean((3, 5))
        network.eval()
        torch.testing.assert_close(network(image)[1], network.discriminators[1](halved))

    def test_projected_scores_are_of_the_vgg_features_at_unit_mean_square(self) -> None:
        torch.manual_seed(0)
        vgg = VGG19(width=2, taps=("relu1_1", "relu2_1"), weights="random")
        network, image = (
            ProjectedDiscriminator(vgg=vgg, width=4, layers=1),
            torch.rand(2, 3, 32, 32),
        )
        for score, feature, judge in zip(
            network(image), vgg(image), network.discriminators, strict=True
        ):
            unit = feature / (feature.square().mean(1, keepdim=True) + 1e-4).sqrt()
            torch.testing.assert_close(score, judge(unit))
        assert [tuple(score.shape) for score in network(image)] == [(2, 1, 16, 16), (2, 1, 8, 8)]

    def test_projected_gradient_reaches_image_and_judges_but_not_the_vgg(self) -> None:
        torch.manual_seed(0)
        network = ProjectedDiscriminator(
            vgg=VGG19(width=2, taps=("relu1_1", "relu2_1"), weights="random"), crop=16
        )
        image = torch.zeros(1, 3, 32, 32, requires_grad=True)
        sum(score.sum() for score in network(image)).backward()
        assert image.grad is not None and image.grad.isfinite().all()
        assert image.grad.abs().sum((0, 1)).ne(0).sum() <= 16 * 16  # the window alone
        assert all(p.grad is not None for p in network.discriminators.parameters())
        assert all(p.grad is None for p in network.vgg.parameters())

    def test_a_projected_crop_below_1_is_refused(self) -> None:
        vgg = VGG19(width=2, taps=("relu1_1",), weights="random")
        with pytest.raises(ConfigError, match="expected crop as a whole number of at least 1"):
            ProjectedDiscriminator(vgg=vgg, crop=0)

    def test_each_feature_has_its_judge(self) -> None:
        network = FeatureDiscriminators(channels=[8, 4], width=2)
        maps = [torch.rand(1, 8, 16, 16), torch.rand(1, 4, 32, 32)]
        assert [tuple(score.shape) for score in network(maps)] == [(1, 1, 4, 4), (1, 1, 8, 8)]
        with pytest.raises(ValueError, match="zip"):
            network(maps[:1])

    def test_gradients_reach_every_parameter_and_the_maps(self) -> None:
        network = FeatureDiscriminators(channels=[8, 4], width=2)
        maps = [torch.rand(2, c, 16, 16, requires_grad=True) for c in (8, 4)]
        sum(score.square().mean() for score in network(maps)).backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), f"no gradient for {key}"
        assert all(feature.grad.any() for feature in maps)
