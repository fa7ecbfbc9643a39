"""The contract of every file of conf/model/."""

import math
from copy import deepcopy
from functools import cache

import pytest
import torch
from helpers.tiny_faces import SIZE, faces
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from faceskd.common.config import compose_model, conf_dir
from faceskd.common.errors import DictionaryError
from faceskd.models import SuperResolver
from faceskd.models.base import TRAINED_BY
from faceskd.models.blocks import conv3x3, fuse
from faceskd.models.weights import build_network

NAMES = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
INTERPOLATIONS = ("bicubic", "bilinear", "lanczos", "nearest")
FULL_SIZE = {
    *("cyclegan", "dbpn", "hifacegan", "rcan", "rdn", "rrdb", "srfeat"),
    *("student_paper", "teacher_paper", "teacher_literal"),
}
"""Too large for gradients here: held to shapes and `feature_info` only."""
SMALL = [name for name in NAMES if name not in FULL_SIZE]


def build(name: str) -> SuperResolver:
    """A network of its own for each test."""
    return deepcopy(_built(name))


@cache
def _built(name: str) -> SuperResolver:
    torch.manual_seed(0)
    network = with_dictionary(build_network(compose_model(name), pretrained=False))
    with torch.no_grad():  # layers that start as zero would do nothing, and stop gradients
        for parameter in network.parameters():
            parameter.add_(1e-3 * torch.randn_like(parameter))
    return network


def with_dictionary(network: SuperResolver) -> SuperResolver:
    if network.uses_dictionary:
        network.load_random_dictionary(atoms=4)
    return network


def build_without_initialisation(name: str) -> SuperResolver:
    """Values that keep every map finite, and vectors of norm 1, at a tenth of the time."""
    with torch.device("meta"):
        network = build_network(compose_model(name), pretrained=False)
    network.to_empty(device="cpu")
    for value in network.state_dict().values():
        value.fill_(value.numel() ** -0.5 / (10 if value.ndim > 1 else 1))
    return with_dictionary(network)


def faces_for(
    network: SuperResolver, batch: int, size: int = SIZE
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `faces`; of a teacher of scale 1, faces as large as the boxes are meant for."""
    lr, boxes = faces(batch, size)
    if network.scale == 1 and network.needs_boxes:
        lr = nn.functional.interpolate(lr, scale_factor=8.0, mode="bicubic")
    return lr, boxes


def check_shapes(network: SuperResolver, batch: int, size: int, device: str = "cpu") -> None:
    lr, boxes = faces_for(network, batch, size)
    with torch.no_grad():
        sr, features = network.eval().forward_features(lr.to(device), boxes.to(device))
    side = network.scale * lr.shape[-1]
    assert network.purpose in ("", *TRAINED_BY)
    assert network.scale in (1, 4, 8) and network.size % network.scale == 0
    assert sr.shape == (batch, 3, side, side)
    assert len(features) == len(network.feature_info)
    for feature, info in zip(features, network.feature_info, strict=True):
        cells = math.ceil(side / info.stride)
        assert feature.shape == (batch, info.channels, cells, cells)
    if device != "meta":
        assert sr.isfinite().all()
        assert all(feature.isfinite().all() for feature in features)


def test_every_config_is_known() -> None:
    assert len(NAMES) >= 25
    assert set(NAMES) > FULL_SIZE


@pytest.mark.parametrize("name", SMALL)
def test_shapes_are_those_of_the_contract(name: str) -> None:
    for batch in (1, 3):
        check_shapes(build(name), batch, SIZE)


@pytest.mark.parametrize("name", sorted(FULL_SIZE - {"teacher_literal"}))
def test_shapes_at_full_size(name: str) -> None:
    if name.startswith("teacher"):  # looking atoms up needs numbers
        check_shapes(build_without_initialisation(name), 1, 8)
        return
    with torch.device("meta"):
        check_shapes(build_network(compose_model(name), pretrained=False), 3, 32, "meta")


def test_the_literal_teacher_differs_in_its_selection_only() -> None:
    paper, literal = compose_model("teacher_paper"), compose_model("teacher_literal")
    assert (paper.pop("selection"), literal.pop("selection")) == ("product", "literal")
    assert paper == literal


@pytest.mark.parametrize("name", SMALL)
def test_a_dictionary_is_for_those_that_use_one(name: str) -> None:
    network = build(name)
    assert network.dictionary_sha256 == ""
    assert network.uses_dictionary == network.needs_boxes == name.startswith("teacher")
    if not network.uses_dictionary:
        with pytest.raises(DictionaryError, match=f"{type(network).__name__} uses no dictionary"):
            network.load_random_dictionary(atoms=4)
        with pytest.raises(DictionaryError, match=f"{type(network).__name__} uses no dictionary"):
            network.load_dictionary("dictionary.safetensors")


@pytest.mark.parametrize("name", SMALL)
def test_gradients_reach_every_parameter(name: str) -> None:
    network = build(name)
    if name in INTERPOLATIONS:
        assert not list(network.parameters())
        return
    lr, boxes = faces_for(network, 2)
    sr = network.train()(lr, boxes)
    (sr - torch.rand_like(sr)).square().mean().backward()
    trained = 0
    for key, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.any(), f"no gradient for {key}"
            assert parameter.grad.isfinite().all(), f"gradient of {key} is not finite"
            trained += 1
        else:
            assert parameter.grad is None, key
    assert trained


@pytest.mark.parametrize("name", SMALL)
def test_eval_repeats_and_faces_do_not_touch_each_other(name: str) -> None:
    network = build(name)
    lr, boxes = faces_for(network, 2)
    with torch.no_grad():
        network.train()(lr, boxes)  # moves running statistics and spectral norms
        network.eval()
        sr = network(lr, boxes)
        assert torch.equal(network(lr, boxes), sr)
        alone = torch.cat([network(lr[i : i + 1], boxes[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(alone, sr, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_the_state_dict_is_all_there_is(name: str) -> None:
    network, other = build(name), build(name)
    lr, boxes = faces_for(network, 1)
    for parameter in other.parameters():
        nn.init.uniform_(parameter)
    with torch.no_grad():
        network.train()(lr, boxes)
        other.load_state_dict(network.state_dict(), strict=True)
        assert torch.equal(other.eval()(lr, boxes), network.eval()(lr, boxes))


@pytest.mark.parametrize("name", SMALL)
def test_folding_changes_neither_figures_nor_the_original(name: str) -> None:
    network = build(name)
    lr, boxes = faces_for(network, 2)
    with torch.no_grad():
        network.train()(lr, boxes)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        fused = fuse(network)
        assert network.training
        network.eval()
        torch.testing.assert_close(fused(lr, boxes), network(lr, boxes), rtol=0, atol=1e-5)
    assert not fused.training
    assert not any(parametrize.is_parametrized(module) for module in fused.modules())
    assert not any(parameter.requires_grad for parameter in fused.parameters())
    assert list(before) == list(network.state_dict())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(parameter.requires_grad for parameter in trained)


class TestFold:
    def test_several_norms_in_one_network(self) -> None:
        network = nn.Sequential(
            conv3x3(3, 4, spectral=True), parametrizations.weight_norm(nn.Conv2d(4, 2, 1))
        ).eval()
        image = torch.rand(1, 3, 5, 5)
        fused = fuse(network)
        torch.testing.assert_close(fused(image), network(image), rtol=0, atol=1e-6)
        assert set(fused.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}
        assert [parametrize.is_parametrized(module) for module in network] == [True, True]
        torch.testing.assert_close(fuse(fused)(image), fused(image))

    def test_changing_one_leaves_the_other(self) -> None:
        network = conv3x3(2, 2, spectral=True)
        fused = fuse(network)
        fused.weight.data.zero_()
        assert network.weight.any()
