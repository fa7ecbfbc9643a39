"""Networks between two trainings; more in tests/tools/test_interpolate_weights.py."""

import pytest
import torch

from faceskd.common.errors import WeightsError
from faceskd.models.mixing import mixed
from faceskd.models.photo import PhotoNet
from faceskd.models.weights import save_network

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
