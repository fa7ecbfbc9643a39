"""Names in files of weights: they outlive moves, and files of release 0.1 still load."""

import json
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from faceskd.common.config import compose_model, conf_dir
from faceskd.common.errors import ConfigError
from faceskd.models import SuperResolver
from faceskd.models.registry import NETWORKS, PARTS, TARGETS, from_stored, to_stored
from faceskd.models.weights import build_network, load_network, read_weights, save_network
from faceskd.pretrained import available_models, model_path

CONFIGS = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
MOVED = {
    "dbpn": "dbpn.DBPN",
    "hifacegan": "hifacegan.HiFaceGAN",
    "interpolation": "interpolation.Interpolation",
    "rcan": "rcan.RCAN",
    "rdn": "rdn.RDN",
    "rrdb": "rrdb.RRDBNet",
    "srfeat": "srfeat.SRFeat",
    "srresnet": "srresnet.SRResNet",
}
"""Where classes were in release 0.1, below `faceskd.models`, that are elsewhere now."""
SMALL = {"_target_": TARGETS["srresnet"], "width": 4, "blocks": 1}


def header_of(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


@pytest.mark.parametrize("name", TARGETS)
def test_every_name_is_a_class(name: str) -> None:
    found = get_class(TARGETS[name])
    assert f"{found.__module__}.{found.__name__}" == TARGETS[name]
    assert issubclass(found, SuperResolver if name in NETWORKS else nn.Module)


def test_names_are_for_good() -> None:
    """Files in the world have these: add to them, never change one."""
    assert {*NETWORKS} >= {"teacher", "student", "lite", *MOVED}
    assert {*PARTS} >= {"vgg19", "sft_decoder", "residual_decoder"}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_goes_into_a_file_and_comes_out(name: str) -> None:
    config = compose_model(name)
    stored = to_stored(config)
    assert "faceskd." not in json.dumps(stored)
    assert from_stored(json.loads(json.dumps(stored))) == config
    assert to_stored(stored) == stored


def test_a_file_has_the_name_and_no_import_path(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_network(path, build_network(SMALL), SMALL)
    assert json.loads(header_of(path)["model"]) == {"network": "srresnet", "width": 4, "blocks": 1}
    assert "faceskd.models" not in str(header_of(path))
    assert read_weights(path).config == SMALL
    assert type(load_network(path)).__name__ == "SRResNet"


@pytest.mark.parametrize("path", [*MOVED.values(), "student.Student", "lite.Lite"])
def test_import_paths_of_release_0_1(path: str) -> None:
    config = from_stored({"_target_": f"faceskd.models.{path}", "deep": [{"width": 3}]})
    assert get_class(config["_target_"]).__name__ == path.split(".")[1]
    assert config["deep"] == [{"width": 3}]


def test_a_file_of_release_0_1_loads(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    network = build_network(SMALL).eval()
    model = SMALL | {"_target_": "faceskd.models.srresnet.SRResNet"}
    header = {
        "format": "faceskd-network-1",
        "model": json.dumps(model),
        "metadata": json.dumps({"steps": 7}),
    }
    save_file(dict(network.state_dict()), path, header)
    lr = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(load_network(path)(lr), network(lr))
    assert read_weights(path).metadata == {"steps": 7}


def test_released_networks_hold_what_is_in_their_files() -> None:
    networks = [model for model in available_models() if model.role != "dictionary"]
    assert networks
    for model in networks:
        path = model_path(model.name)
        dictionary = model_path(model.dictionary) if model.dictionary else None
        network = load_network(path, dictionary)
        state = network.state_dict()
        assert all(torch.equal(state[k], v.float()) for k, v in load_file(path).items())


def test_unknown_names_are_refused() -> None:
    for name in ("nothing", "faceskd.models.lite.Lite", None, 3, {"network": "lite"}):
        with pytest.raises(
            ConfigError, match="expected one of the networks teacher, student, lite"
        ):
            from_stored({"network": name})
    with pytest.raises(ConfigError, match=r"registry, got 'torch\.nn\.Conv2d'"):
        to_stored({"_target_": TARGETS["lite"], "inner": [{"_target_": "torch.nn.Conv2d"}]})
