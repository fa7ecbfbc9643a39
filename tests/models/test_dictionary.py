"""Dictionaries: shapes and the file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_dictionary import INFOS, KEYS, K, encoder
from safetensors.torch import save_file

from faceskd.common.errors import DictionaryError
from faceskd.common.files import sha256
from faceskd.faces.components import COMPONENTS
from faceskd.models import VGG19, FeatureInfo
from faceskd.models.dictionary import FORMAT, MIN_ATOM_SIZE, Dictionary, atom_shape
from faceskd.models.vgg import DICTIONARY_TAPS


@pytest.fixture
def random_dictionary() -> Dictionary:
    return Dictionary.random(DICTIONARY_TAPS, encoder().feature_info, atoms=K)


class TestShapes:
    def test_atoms_are_dfdnets_at_256(self) -> None:
        sides = {"left_eye": (20, 10, 5, 3), "right_eye": (20, 10, 5, 3)}
        sides |= {"nose": (12, 6, 3, 3), "mouth": (27, 13, 6, 3)}
        for component in COMPONENTS:
            for info, side in zip(INFOS, sides[component], strict=True):
                assert atom_shape(component, info) == (info.channels, side, side)
        assert atom_shape("mouth", FeatureInfo(128, 2)) == (128, 27, 27)
        assert MIN_ATOM_SIZE == 3

    def test_size_at_the_papers_width_and_k(self) -> None:
        values = 512 * sum(np.prod(atom_shape(c, info)) for info in INFOS for c in COMPONENTS)
        assert 192e6 < values < 198e6  # 0.77 GB in float32

    def test_random_dictionary(self, random_dictionary: Dictionary) -> None:
        assert sorted(random_dictionary.atoms) == sorted(KEYS)
        for value in random_dictionary.atoms.values():
            assert value.dtype == torch.float16
            assert len(value) == K
            assert 0.5 < value.float().std() < 1.5
        again = Dictionary.random(DICTIONARY_TAPS, encoder().feature_info, atoms=K)
        other = Dictionary.random(DICTIONARY_TAPS, encoder().feature_info, atoms=K, seed=1)
        for key, value in random_dictionary.atoms.items():
            assert torch.equal(again.atoms[key], value)
            assert not torch.equal(other.atoms[key], value)
        assert random_dictionary.provenance["source"] == "random"

    def test_noise_in_place_of_atoms(self, random_dictionary: Dictionary) -> None:
        given = Dictionary(random_dictionary.atoms, "an encoder", {"faces": 7}, "abc")
        made = given.randomised(seed=1)
        assert made.encoder == "an encoder"
        assert made.provenance == {"source": "random", "seed": 1, "like": "abc"}
        assert made.sha256 == ""
        assert set(made.atoms) == set(KEYS)
        for key, value in made.atoms.items():
            assert value.shape == given.atoms[key].shape
            assert value.dtype == torch.float16
            assert abs(value.float().std() - 1) < 0.5
            assert not torch.equal(value, given.atoms[key])
            assert torch.equal(value, given.randomised(seed=1).atoms[key])
            assert not torch.equal(value, given.randomised(seed=2).atoms[key])


class TestFile:
    def test_round_trip(self, random_dictionary: Dictionary, tmp_path: Path) -> None:
        path = tmp_path / "d.safetensors"
        provenance = {"faces": 7, "inertia": {"a": 0.5}}
        Dictionary(random_dictionary.atoms, "0123", provenance).save(path)
        loaded = Dictionary.load(path)
        assert (loaded.encoder, loaded.provenance) == ("0123", provenance)
        assert loaded.sha256 == sha256(path)
        assert set(loaded.atoms) == set(KEYS)
        for key, value in random_dictionary.atoms.items():
            assert torch.equal(loaded.atoms[key], value)
        for component, atoms in loaded.atoms_of("relu3_4").items():
            assert torch.equal(atoms, random_dictionary.atoms[f"relu3_4/{component}"])

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_atoms_that_are_not_finite(
        self, value: float, random_dictionary: Dictionary, tmp_path: Path
    ) -> None:
        atoms = {key: value.clone() for key, value in random_dictionary.atoms.items()}
        atoms["relu3_4/nose"][1, 0, 0, 0] = value
        Dictionary(atoms).save(tmp_path / "d.safetensors")
        with pytest.raises(DictionaryError, match=r"d\.safetensors' is damaged.*relu3_4/nose"):
            Dictionary.load(tmp_path / "d.safetensors")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(DictionaryError, match=r"no dictionary at .*gone.*faceskd dictionary"):
            Dictionary.load(tmp_path / "gone.safetensors")
        with pytest.raises(DictionaryError, match="no dictionary at"):
            Dictionary.load(tmp_path)

    @pytest.mark.parametrize("left", [0, 4, 9, 0.1, 0.5, 0.999])
    def test_truncated(self, left: float, random_dictionary: Dictionary, tmp_path: Path) -> None:
        path = tmp_path / "d.safetensors"
        random_dictionary.save(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(left if isinstance(left, int) else left * len(content))])
        with pytest.raises(DictionaryError, match=r"d\.safetensors' is damaged"):
            Dictionary.load(path)

    @pytest.mark.parametrize("content", [b"\x00" * 64, b"\xff" * 64, b"a picture" * 20])
    def test_corrupt(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "d.safetensors").write_bytes(content)
        with pytest.raises(DictionaryError, match="damaged"):
            Dictionary.load(tmp_path / "d.safetensors")

    @pytest.mark.parametrize("metadata", [None, {"format": "faceskd-network-1"}])
    def test_other_safetensors(self, metadata: dict | None, tmp_path: Path) -> None:
        save_file({"a": torch.zeros(2)}, tmp_path / "d.safetensors", metadata)
        with pytest.raises(DictionaryError, match=f"expected a dictionary of the format {FORMAT}"):
            Dictionary.load(tmp_path / "d.safetensors")

    def test_another_width(self, random_dictionary: Dictionary) -> None:
        wide = VGG19(width=2, weights="random")
        with pytest.raises(DictionaryError, match=r"\(4, 20, 20\).*got \(2, 20, 20\).*width"):
            random_dictionary.check_encoder(wide.taps, wide.feature_info)

    def test_another_tap(self, random_dictionary: Dictionary) -> None:
        other = VGG19(width=1, taps=("relu2_2", "relu3_4", "relu4_4", "relu5_1"), weights="random")
        with pytest.raises(DictionaryError, match="atoms of relu5_1/left_eye, got"):
            random_dictionary.check_encoder(other.taps, other.feature_info)

    def test_its_own_encoder(self, random_dictionary: Dictionary) -> None:
        random_dictionary.check_encoder(DICTIONARY_TAPS, encoder().feature_info)
