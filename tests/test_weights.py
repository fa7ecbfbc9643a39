"""Networks to files and back; files that are something else, and files that mean harm."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from faceskd.dictionary import Dictionary
from faceskd.engine import Supervised
from faceskd.errors import ConfigError, DictionaryError, WeightsError
from faceskd.losses import L1Loss, WeightedSum
from faceskd.models import Student, SuperResolver, Teacher
from faceskd.models.vgg_weights import save_vgg_weights
from faceskd.weights import (
    FORMAT,
    StoredNetwork,
    build_network,
    load_network,
    read_metadata,
    read_weights,
    save_network,
    without_files,
)

VGG = "faceskd.models.vgg.VGG19"
STUDENT: dict[str, Any] = {
    "_target_": "faceskd.models.student.Student",
    "encoder": {"_target_": VGG, "width": 1, "weights": None},
}
TEACHER = STUDENT | {"_target_": "faceskd.models.teacher.Teacher", "dictionary": None}
BOXES = torch.tensor([[[8.0, 12, 24, 28], [40, 12, 56, 28], [24, 28, 40, 44], [20, 40, 44, 62]]])


@pytest.fixture
def student() -> Student:
    torch.manual_seed(0)
    network = build_network(STUDENT)
    assert isinstance(network, Student)
    network(torch.rand(1, 3, 8, 8))  # moves spectral norms
    return network


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    encoder = build_network(STUDENT).encoder
    path = tmp_path / "dictionary.safetensors"
    Dictionary.random(encoder.taps, encoder.feature_info, atoms=3).save(path)
    return path


@pytest.fixture
def teacher(dictionary: Path) -> SuperResolver:
    torch.manual_seed(0)
    return build_network(TEACHER | {"dictionary": str(dictionary)})


def faces_of(network: SuperResolver) -> torch.Tensor:
    lr = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return network.eval()(lr, BOXES)


class TestRoundTrip:
    def test_student(self, student: Student, tmp_path: Path) -> None:
        path = tmp_path / "new" / "student.safetensors"
        save_network(path, student, STUDENT, {"steps": 7, "name": "s"})
        loaded = load_network(path)
        assert isinstance(loaded, Student)
        assert not loaded.training
        assert torch.equal(faces_of(loaded), faces_of(student))
        assert read_metadata(path) == {"steps": 7, "name": "s"}
        assert [entry.name for entry in path.parent.iterdir()] == ["student.safetensors"]

    def test_what_is_stored(self, student: Student, tmp_path: Path) -> None:
        path = tmp_path / "student.safetensors"
        save_network(path, student.to(memory_format=torch.channels_last), STUDENT)
        stored = read_weights(path)
        assert isinstance(stored, StoredNetwork)
        assert stored.config == STUDENT
        assert stored.metadata == {}
        assert set(stored.state) == set(student.state_dict())
        for key, value in student.state_dict().items():
            assert torch.equal(stored.state[key], value), key

    def test_teacher_finds_its_dictionary_again(
        self, teacher: SuperResolver, dictionary: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "teacher.safetensors"
        config = TEACHER | {"dictionary": str(dictionary)}
        save_network(path, teacher, config, {"steps": 1})
        assert config["dictionary"] == str(dictionary)
        recorded = read_metadata(path)["dictionary"]
        assert recorded == {"path": str(dictionary), "sha256": Dictionary.load(dictionary).sha256}
        loaded = load_network(path)
        assert isinstance(loaded, Teacher)
        assert torch.equal(faces_of(loaded), faces_of(teacher))

    def test_teacher_with_its_dictionary_elsewhere(
        self, teacher: SuperResolver, dictionary: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "teacher.safetensors"
        save_network(path, teacher, TEACHER | {"dictionary": str(dictionary)})
        moved = dictionary.rename(tmp_path / "moved.safetensors")
        with pytest.raises(DictionaryError, match=r"no dictionary at .*dictionary\.safetensors"):
            load_network(path)
        assert torch.equal(faces_of(load_network(path, moved)), faces_of(teacher))

    def test_teacher_refuses_a_dictionary_it_was_not_trained_with(
        self, teacher: SuperResolver, dictionary: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "teacher.safetensors"
        save_network(path, teacher, TEACHER | {"dictionary": str(dictionary)})
        encoder = teacher.encoder
        other = Dictionary.random(encoder.taps, encoder.feature_info, atoms=3, seed=1)
        other.save(dictionary)
        with pytest.raises(DictionaryError, match=r"trained with a dictionary of SHA-256 \w{16}"):
            load_network(path)

    def test_teacher_of_a_random_dictionary_needs_a_path(
        self, teacher: SuperResolver, dictionary: Path, tmp_path: Path
    ) -> None:
        teacher.load_dictionary(
            Dictionary.random(teacher.encoder.taps, teacher.encoder.feature_info, atoms=2)
        )
        save_network(tmp_path / "teacher.safetensors", teacher, TEACHER)
        with pytest.raises(DictionaryError, match="name no dictionary: give its path"):
            load_network(tmp_path / "teacher.safetensors")
        load_network(tmp_path / "teacher.safetensors", dictionary)

    def test_pretrained_files_are_not_needed_again(self, student: Student, tmp_path: Path) -> None:
        weights = tmp_path / "encoder.safetensors"
        save_vgg_weights(student.encoder, weights)
        config = STUDENT | {"encoder": STUDENT["encoder"] | {"weights": str(weights)}}
        network = build_network(config)
        assert torch.equal(network.encoder.convs["5_4"].weight, student.encoder.convs["5_4"].weight)
        save_network(tmp_path / "student.safetensors", network, config)
        weights.unlink()
        assert torch.equal(
            faces_of(load_network(tmp_path / "student.safetensors")), faces_of(network)
        )


def checkpoint_of(student: Student, path: Path, *, average_decay: float | None = 0.5) -> Supervised:
    """As Lightning writes it in training, after three steps."""
    engine = Supervised(
        network=student,
        model_config=STUDENT,
        losses=WeightedSum(terms={"l1": {"weight": 1.0, "loss": L1Loss()}}),
        optimizer=partial(torch.optim.SGD, lr=0.1),
        average_decay=average_decay,
        metrics=("psnr",),
    )
    for _ in range(3):
        with torch.no_grad():
            for parameter in student.parameters():
                parameter += parameter.requires_grad * 0.01 * torch.randn_like(parameter)
        if engine.average is not None:
            engine.average.update(student)
    checkpoint = {"state_dict": engine.state_dict(), "pytorch-lightning_version": "2.5.0"}
    engine.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, path)
    return engine


class TestCheckpoint:
    def test_with_averages_loads_the_averages(self, student: Student, tmp_path: Path) -> None:
        engine = checkpoint_of(student, tmp_path / "last.ckpt")
        loaded = load_network(tmp_path / "last.ckpt")
        present = faces_of(student)
        with engine.averaged():
            averaged = faces_of(student)
        assert not torch.allclose(present, averaged)
        assert torch.equal(faces_of(loaded), averaged)

    def test_without_averages_loads_the_weights(self, student: Student, tmp_path: Path) -> None:
        checkpoint_of(student, tmp_path / "last.ckpt", average_decay=None)
        assert torch.equal(faces_of(load_network(tmp_path / "last.ckpt")), faces_of(student))
        assert read_weights(tmp_path / "last.ckpt").config == STUDENT
        assert read_metadata(tmp_path / "last.ckpt")["engine"] == "Supervised"

    @pytest.mark.parametrize("left", [0, 1, 20, 0.3, 0.9])
    def test_truncated(self, left: float, student: Student, tmp_path: Path) -> None:
        path = tmp_path / "last.ckpt"
        checkpoint_of(student, path)
        content = path.read_bytes()
        path.write_bytes(content[: int(left if isinstance(left, int) else left * len(content))])
        with pytest.raises(WeightsError, match=r"last\.ckpt' is damaged"):
            load_network(path)

    @pytest.mark.parametrize("content", [b"h\x05", b"t", b"]q\x00.", b"\x80\x02}"], ids=repr)
    def test_no_pickle(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "last.ckpt").write_bytes(content)
        with pytest.raises(WeightsError, match=r"last\.ckpt' is damaged"):
            load_network(tmp_path / "last.ckpt")

    @pytest.mark.parametrize(
        "content",
        [
            {},
            [],
            7,
            {"state_dict": {}},
            {"state_dict": {}, "hyper_parameters": {}},
            {"state_dict": {}, "hyper_parameters": None},
            {"state_dict": {}, "hyper_parameters": {"model": STUDENT}},
        ],
        ids=repr,
    )
    def test_of_another_program(self, content: object, tmp_path: Path) -> None:
        torch.save(content, tmp_path / "last.ckpt")
        with pytest.raises(WeightsError, match="expected a checkpoint of `faceskd train`"):
            load_network(tmp_path / "last.ckpt")

    def test_code_in_a_pickle_is_not_run(self, tmp_path: Path) -> None:
        marker = tmp_path / "executed"

        class Harm:
            def __reduce__(self) -> tuple:
                return Path.touch, (marker,)

        torch.save({"hyper_parameters": Harm(), "state_dict": {}}, tmp_path / "last.ckpt")
        with pytest.raises(WeightsError, match="damaged"):
            load_network(tmp_path / "last.ckpt")
        assert not marker.exists()


class TestRefusals:
    def test_no_file(self, tmp_path: Path) -> None:
        for read in (read_weights, read_metadata, load_network):
            with pytest.raises(WeightsError, match=r"no weights at .*gone\.safetensors"):
                read(tmp_path / "gone.safetensors")

    @pytest.mark.parametrize("left", [0, 3, 8, 0.05, 0.5, 0.999])
    def test_truncated(self, left: float, student: Student, tmp_path: Path) -> None:
        path = tmp_path / "student.safetensors"
        save_network(path, student, STUDENT)
        content = path.read_bytes()
        path.write_bytes(content[: int(left if isinstance(left, int) else left * len(content))])
        with pytest.raises(WeightsError, match="not a whole safetensors file"):
            load_network(path)

    @pytest.mark.parametrize("metadata", [None, {"format": "faceskd-dictionary-1"}])
    def test_other_safetensors(self, metadata: dict | None, tmp_path: Path) -> None:
        save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors", metadata)
        with pytest.raises(WeightsError, match=f"network of the format {FORMAT}"):
            load_network(tmp_path / "a.safetensors")

    def test_another_architecture(self, student: Student, tmp_path: Path) -> None:
        path = tmp_path / "student.safetensors"
        wider = STUDENT | {"encoder": STUDENT["encoder"] | {"width": 2}}
        save_network(path, student, wider)
        with pytest.raises(WeightsError) as caught:
            load_network(path)
        message = str(caught.value)
        assert "another architecture than Student" in message
        assert "tensors differ" in message
        assert "expected (" in message and "got (" in message
        assert "\n" not in message

    def test_tensors_too_many_and_too_few(self, student: Student, tmp_path: Path) -> None:
        path = tmp_path / "student.safetensors"
        save_network(path, student, STUDENT)
        with safe_open(path, "pt") as file:
            header = file.metadata()
        state = load_file(path)
        save_file(state | {"extra.bias": torch.zeros(3)}, path, header)
        with pytest.raises(
            WeightsError, match=r"1 tensors differ; for extra\.bias .*nothing.*\(3,"
        ):
            load_network(path)
        del state["decoder.head.0.bias"]
        save_file(state, path, header)
        with pytest.raises(WeightsError, match=r"head\.0\.bias expected \(1,\), got nothing"):
            load_network(path)


HARMFUL = [
    "os.system",
    "builtins.eval",
    "pathlib.Path",
    "torch.nn.Conv2d",
    "faceskd.weights.load_network",
    "faceskd.modelsx.Student",
    "faceskd.models.nothing.Student",
    "faceskd.models.student.Nothing",
    "faceskd.models.vgg.torch.load",
    "faceskd.models.vgg.torch.os.system",
    "faceskd.models.vgg.nn.Conv2d",
    "faceskd.models.vgg.tap_position",
    "faceskd.models.vgg_weights.Path",
    "faceskd.models..student.Student",
    "",
    None,
    {"_target_": "os.system"},
]


class TestTargets:
    """A config read from a file is input: it builds networks of ours, and nothing else."""

    @pytest.mark.parametrize("target", HARMFUL, ids=str)
    def test_other_classes_are_refused(self, target: object) -> None:
        with pytest.raises(ConfigError, match=r"expected a network of faceskd\.models"):
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
        with pytest.raises(ConfigError, match=r"faceskd\.models, got 'os\.system'"):
            build_network(STUDENT | {key: part})

    def test_nor_from_a_file(self, student: Student, tmp_path: Path) -> None:
        path, marker = tmp_path / "student.safetensors", tmp_path / "executed"
        harm = [{"_target_": "pathlib.Path.touch", "self": str(marker)}]
        save_network(path, student, STUDENT | {"extra": harm})
        with pytest.raises(ConfigError, match=r"got 'pathlib\.Path\.touch'"):
            load_network(path)
        assert not marker.exists()

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


def test_without_files() -> None:
    config = TEACHER | {
        "dictionary": "d.safetensors",
        "encoder": {"_target_": VGG, "taps": ["relu2_2"], "weights": "torchvision"},
    }
    before = json.dumps(config)
    assert without_files(config) == {
        "_target_": "faceskd.models.teacher.Teacher",
        "dictionary": None,
        "encoder": {"_target_": VGG, "taps": ["relu2_2"], "weights": None},
    }
    assert json.dumps(config) == before
