"""What the config in a file may build: networks of ours, and nothing that means harm."""

import json
from pathlib import Path

import pytest
from helpers.tiny_faces import STUDENT, TEACHER, VGG
from safetensors.torch import save_file

from faceskd.common.errors import ConfigError, DictionaryError, WeightsError
from faceskd.models import Student
from faceskd.models.weights import FORMAT, build_network, load_network, save_network

HARMFUL = [
    "os.system",
    "builtins.eval",
    "pathlib.Path",
    "torch.nn.Conv2d",
    "faceskd.models.weights.load_network",
    "faceskd.modelsx.Student",
    "faceskd.models.nothing.Student",
    "faceskd.models.student.Nothing",
    "faceskd.models.vgg.torch.load",
    "faceskd.models.vgg.torch.os.system",
    "faceskd.models.vgg.nn.Conv2d",
    "faceskd.models.vgg.tap_position",
    "faceskd.models.vgg_weights.Path",
    "faceskd.models.blocks.ResidualBlock",
    "faceskd.models.ensemble.Ensemble",
    "faceskd.models..student.Student",
    "",
    None,
    {"_target_": "os.system"},
]


class TestTargets:
    """A config read from a file is input: it builds networks of ours, and nothing else."""

    @pytest.mark.parametrize("target", HARMFUL, ids=str)
    def test_other_classes_are_refused(self, target: object) -> None:
        with pytest.raises(ConfigError, match=r"expected a class listed in faceskd\.models"):
            build_network({"_target_": target})

    @pytest.mark.parametrize(
        "part",
        [
            {"_target_": "os.system", "command": "true"},
            [{"_target_": "os.system", "command": "true"}],
            {"deep": [[{"er": {"_target_": "os.system", "command": "true"}}]]},
        ],
        ids=["value", "list", "deep"],
    )
    @pytest.mark.parametrize("key", ["encoder", "_args_", "other"])
    def test_nor_inside(self, part: object, key: str) -> None:
        with pytest.raises(ConfigError, match=r"faceskd\.models\.registry, got 'os\.system'"):
            build_network(STUDENT | {key: part})

    def test_nor_from_a_file(self, student: Student, tmp_path: Path) -> None:
        path, marker = tmp_path / "student.safetensors", tmp_path / "executed"
        harm = [{"_target_": "pathlib.Path.touch", "self": str(marker)}]
        header = {
            "format": FORMAT,
            "model": json.dumps(STUDENT | {"extra": harm}),
            "metadata": "{}",
        }
        save_file(dict(student.state_dict()), path, header)
        with pytest.raises(ConfigError, match=r"got 'pathlib\.Path\.touch'"):
            load_network(path)
        assert not marker.exists()
        with pytest.raises(ConfigError, match=r"got 'pathlib\.Path\.touch'"):
            save_network(path, student, STUDENT | {"extra": harm})

    def test_a_part_alone_is_no_network(self) -> None:
        with pytest.raises(ConfigError, match="config of a network, got that of a VGG19"):
            build_network(STUDENT["encoder"])
        with pytest.raises(ConfigError, match="config of a network"):
            build_network({"encoder": 3})

    def test_wrong_arguments_are_a_sentence(self) -> None:
        with pytest.raises(ConfigError, match=r"cannot build faceskd\.models\.student\.Student"):
            build_network(STUDENT | {"depth": 3})
        with pytest.raises(ConfigError, match="width of at least 1 channel, got 0"):
            build_network(STUDENT | {"encoder": {"_target_": VGG, "width": 0}})

    def test_missing_files_keep_their_own_sentence(self) -> None:
        encoder = STUDENT["encoder"]
        with pytest.raises(WeightsError, match=r"no VGG-19 weights at '/nowhere\.pth'"):
            build_network(STUDENT | {"encoder": encoder | {"weights": "/nowhere.pth"}})
        with pytest.raises(DictionaryError, match=r"no dictionary at '/nowhere"):
            build_network(TEACHER | {"dictionary": "/nowhere.safetensors"})
