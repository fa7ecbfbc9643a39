"""Networks between two trainings; more in tests/tools/test_interpolate_weights.py."""

import pytest
import torch
from helpers.tiny_faces import STUDENT, faces_of
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm

from faceskd.common.errors import WeightsError
from faceskd.models.mixing import mixed
from faceskd.models.photo import PhotoNet
from faceskd.models.weights import build_network, save_network

TINY = {"widths": [8, 8, 8], "blocks": 1, "mixing": [0, 0]}


def saved(path, **options):
    config = {**TINY, **options}
    save_network(path, PhotoNet(**config), {"_target_": "faceskd.models.photo.PhotoNet", **config})
    return path


@pytest.mark.parametrize("sizes", [(64, 128), (128, 64), (128, 128)])
def test_phases_at_two_sizes_become_a_network_of_the_larger(tmp_path, sizes):
    files = [saved(tmp_path / f"{n}.safetensors", size=size) for n, size in enumerate(sizes)]
    network, _ = mixed(*files, 0.5)
    assert network.size == 128
    alone = [mixed(file, file, 0)[0].state_dict() for file in files]
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, (alone[0][name] + alone[1][name]) / 2)


def test_other_differences_are_refused(tmp_path):
    files = [saved(tmp_path / "a.safetensors"), saved(tmp_path / "b.safetensors", blocks=2)]
    with pytest.raises(WeightsError, match="one architecture, got those of two"):
        mixed(*files, 0.5)


def test_spectral_norms_are_those_of_the_mixed_weights(tmp_path):
    """A norm from the mean of two networks' singular vectors is smaller than the true one."""
    torch.manual_seed(0)
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path in files:
        save_network(path, build_network(STUDENT), STUDENT)
    weights = [
        module.weight
        for module in mixed(*files, 0.5)[0].modules()
        if parametrize.is_parametrized(module)
        and isinstance(module.parametrizations.weight[0], _SpectralNorm)
    ]
    assert weights
    for weight in weights:
        norm = torch.linalg.matrix_norm(weight.detach().flatten(1), 2)
        assert norm.item() == pytest.approx(1, rel=0.01)


def test_at_its_ends_a_mixture_is_one_of_the_two(tmp_path):
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    networks = [build_network(STUDENT) for _ in files]
    for path, network in zip(files, networks, strict=True):
        save_network(path, network, STUDENT)
    for share, network in enumerate(networks):
        torch.testing.assert_close(
            faces_of(mixed(*files, share)[0]), faces_of(network), rtol=0, atol=0
        )
