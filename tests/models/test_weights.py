"""Networks to files and back, and files that are something else."""

import json
from pathlib import Path

import pytest
import torch
from helpers.tiny_faces import STUDENT, TEACHER, VGG, faces_of
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from faceskd.common.errors import DictionaryError, WeightsError
from faceskd.common.tensors import read_safetensors, write_safetensors
from faceskd.models import Student, SuperResolver, Teacher
from faceskd.models.dictionary import Dictionary
from faceskd.models.weights import (
    FORMAT,
    StoredNetwork,
    build_network,
    load_network,
    read_metadata,
    read_weights,
    save_network,
    without_files,
)


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
        (tmp_path / "elsewhere").mkdir()
        moved = dictionary.rename(tmp_path / "elsewhere" / "moved.safetensors")
        with pytest.raises(DictionaryError, match=r"no dictionary at .*dictionary\.safetensors"):
            load_network(path)
        assert torch.equal(faces_of(load_network(path, moved)), faces_of(teacher))
        moved.rename(tmp_path / "beside.safetensors")  # found by its checksum
        assert torch.equal(faces_of(load_network(path)), faces_of(teacher))

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
        with pytest.raises(
            DictionaryError, match="path of the teacher's dictionary in its weights file, got none"
        ):
            load_network(tmp_path / "teacher.safetensors")
        load_network(tmp_path / "teacher.safetensors", dictionary)

    def test_pretrained_files_are_not_needed_again(self, student: Student, tmp_path: Path) -> None:
        weights = tmp_path / "encoder.safetensors"
        student.encoder.save(weights)
        config = STUDENT | {"encoder": STUDENT["encoder"] | {"weights": str(weights)}}
        network = build_network(config)
        assert torch.equal(network.encoder.convs["5_4"].weight, student.encoder.convs["5_4"].weight)
        save_network(tmp_path / "student.safetensors", network, config)
        weights.unlink()
        assert torch.equal(
            faces_of(load_network(tmp_path / "student.safetensors")), faces_of(network)
        )


class TestRefusals:
    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_numbers_that_are_none(self, value: float, student: Student, tmp_path: Path) -> None:
        path = tmp_path / "s.safetensors"
        save_network(path, student, STUDENT)
        state, header = read_safetensors(path)
        state["decoder.head.0.bias"][0] = value
        write_safetensors(path, state, header)
        with pytest.raises(WeightsError, match=r"s\.safetensors.*decoder\.head\.0\.bias"):
            load_network(path)
        with torch.no_grad():
            student.decoder.head[0].bias[0] = value
        with pytest.raises(WeightsError, match=r"t\.safetensors.*decoder\.head\.0\.bias"):
            save_network(tmp_path / "t.safetensors", student, STUDENT)
        assert not (tmp_path / "t.safetensors").exists()

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
