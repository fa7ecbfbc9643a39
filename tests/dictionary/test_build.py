"""A dictionary's atoms are means over faces, with their provenance; what cannot be built."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.aligned_faces import BOXES
from helpers.tiny_dictionary import KEYS, SETTINGS, Build, K, content, encoder
from helpers.tiny_faces import TEACHER
from sklearn.cluster import KMeans
from torchvision.ops import roi_align

from faceskd import __version__
from faceskd.common.errors import ConfigError, DictionaryError, DiskFullError, FacesError
from faceskd.common.files import sha256
from faceskd.common.images import read_image, to_tensor, write_image
from faceskd.data.manifest import Record, draw_records, read_manifest, write_manifest
from faceskd.dictionary import build as build_dictionary
from faceskd.dictionary.build import BuildSettings, Built, component_features
from faceskd.dictionary.kmeans import Clusters, Rows, kmeans
from faceskd.faces.components import COMPONENTS
from faceskd.models import VGG19, Teacher
from faceskd.models.dictionary import atom_shape
from faceskd.models.vgg import DICTIONARY_TAPS
from faceskd.models.weights import load_network, save_network


class TestBuild:
    def test_atoms_are_means_of_the_components_of_faces(
        self, built: tuple[Built, Path], prepared_faces: Path
    ) -> None:
        result, _ = built
        everyone = read_manifest(prepared_faces, "train")
        records = draw_records(everyone, 12, seed=SETTINGS.seed)
        assert result.records == records != everyone[:12]
        vgg = encoder()
        hr = to_tensor(np.stack([read_image(prepared_faces / r.face) for r in records]))
        boxes = torch.tensor([record.boxes for record in records])
        with torch.no_grad():
            features = vgg(hr)
        for tap, info, maps in zip(vgg.taps, vgg.feature_info, features, strict=True):
            for index, component in enumerate(COMPONENTS):
                key = f"{tap}/{component}"
                size = atom_shape(component, info)[1]
                rows = torch.stack(
                    [
                        roi_align(
                            maps[i : i + 1], [boxes[i : i + 1, index]], size,
                            1 / info.stride, 2, True,
                        )[0]
                        for i in range(len(records))
                    ]
                ).flatten(1)  # fmt: skip
                atoms = result.dictionary.atoms[key].float().flatten(1)
                members = torch.cdist(rows, torch.from_numpy(result.clusters[key].centres)).argmin(
                    1
                )
                for k in range(K):
                    mean = rows[members == k].mean(0)
                    torch.testing.assert_close(atoms[k], mean, rtol=5e-3, atol=5e-3, msg=key)

    def test_inertia_is_scikit_learn_s(self, prepared_faces: Path, tmp_path: Path) -> None:
        """Every component and scale is clustered as well as by ten starts of `KMeans`."""
        vgg, settings = encoder(), BuildSettings(atoms=4)
        built = build_dictionary.build_dictionary(
            prepared_faces, vgg, tmp_path / "d.safetensors", settings
        )
        records = read_manifest(prepared_faces, "train")
        hr = to_tensor(np.stack([read_image(prepared_faces / r.face) for r in records]))
        with torch.no_grad():
            cuts = component_features(vgg, hr, torch.tensor([r.boxes for r in records]))
        ratios = {}
        for key, rows in cuts.items():
            values = rows.flatten(1).half().float().numpy()
            reference = KMeans(4, n_init=10, random_state=0).fit(values)
            ratios[key] = built.dictionary.provenance["inertia"][key] / reference.inertia_
        assert max(ratios.values()) < 1.1, ratios
        assert np.mean(list(ratios.values())) < 1.03, ratios

    def test_every_setting_reaches_k_means(
        self, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given: list[dict] = []

        def recorded(rows: Rows, **options: int) -> Clusters:
            given.append(options)
            return kmeans(rows, **options)

        monkeypatch.setattr(build_dictionary, "kmeans", recorded)
        chosen = {"seed": 3, "initialisations": 2, "passes": 1, "iterations": 4}
        build(settings=BuildSettings(atoms=K, limit=6, **chosen))
        assert given == [{"clusters": K} | chosen] * len(KEYS)

    def test_provenance_is_complete(self, built: tuple[Built, Path]) -> None:
        result, out = built
        provenance = result.dictionary.provenance
        assert json.loads(out.with_suffix(".json").read_text()) == provenance
        assert provenance["faces"] == 12
        assert provenance["taps"] == list(DICTIONARY_TAPS)
        assert provenance["width"] == 1
        assert provenance["encoder"] == result.dictionary.encoder == encoder().fingerprint()
        assert (provenance["atoms"], provenance["seed"]) == (K, 0)
        assert "peak_memory_mib" not in provenance  # the same dictionary is the same file
        assert provenance["versions"]["faceskd"] == __version__
        assert set(provenance["versions"]) == {"faceskd", "torch", "scikit-learn", "numpy"}
        for name in ("inertia", "revived", "counts"):
            assert list(provenance[name]) == KEYS
        for key, counts in provenance["counts"].items():
            assert len(counts) == K
            assert min(counts) >= 1, key
            assert sum(counts) == 12
            assert provenance["inertia"][key] > 0

    def test_nothing_else_is_left(self, built: tuple[Built, Path]) -> None:
        _, out = built
        assert sorted(path.name for path in out.parent.iterdir()) == ["d.json", "d.safetensors"]

    def test_it_repeats(self, built: tuple[Built, Path], build: Build, tmp_path: Path) -> None:
        build(keep_work=True)
        assert content(tmp_path / "d.safetensors") == content(built[1])
        assert (tmp_path / "d.safetensors.work").is_dir()

    def test_a_teacher_takes_it_and_another_encoder_does_not(
        self, built: tuple[Built, Path]
    ) -> None:
        from faceskd.models import Teacher

        result, out = built
        teacher = Teacher(encoder=encoder(), dictionary=out)
        assert teacher.dictionary_sha256 == result.dictionary.sha256 == sha256(out)
        values = sum(value.numel() for value in result.dictionary.atoms.values())
        assert teacher.dictionary_bytes == 4 * values
        with pytest.raises(DictionaryError, match=result.dictionary.encoder):
            Teacher(encoder=VGG19(width=1, weights="random"), dictionary=out)

    def test_the_encoder_given_stays_as_it_was(self, prepared_faces: Path, tmp_path: Path) -> None:
        vgg = encoder().train()
        build_dictionary.build_dictionary(prepared_faces, vgg, tmp_path / "d.safetensors", SETTINGS)
        assert vgg.training
        assert vgg.convs["1_1"].weight.requires_grad


class TestRefusals:
    def test_fewer_faces_than_atoms(self, build: Build, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="at least 25 faces for K = 25, got 24 in the split"):
            build(settings=BuildSettings(atoms=25))
        assert not list(tmp_path.iterdir())

    def test_limit_counts(self, build: Build) -> None:
        with pytest.raises(ConfigError, match="at least 5 faces for K = 5, got 4"):
            build(settings=BuildSettings(atoms=5, limit=4))

    def test_split_without_faces(self, build: Build) -> None:
        with pytest.raises(FacesError, match="no face in the split 'extra'"):
            build(split="extra")

    @pytest.mark.parametrize("name", ["atoms", "batch_size", "iterations", "limit"])
    def test_numbers_that_cannot_be(self, name: str) -> None:
        expected = f"expected {name} as a whole number of at least 1, got 0"
        with pytest.raises(ConfigError, match=expected):
            BuildSettings(**{name: 0})
        with pytest.raises(ConfigError, match="seed as a whole number of at least 0"):
            BuildSettings(seed=-1)

    def test_faces_of_another_size(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.png", np.zeros((128, 160, 3), np.uint8))
        boxes = [[10.0, 10, 40, 40]] * 4
        write_manifest(tmp_path, [Record("a.jpg", "ok", split="train", face="a.png", boxes=boxes)])
        with pytest.raises(FacesError, match=r"256x256 px, but a\.png is 160x128"):
            build_dictionary.build_dictionary(
                tmp_path, encoder(), tmp_path / "d.safetensors", BuildSettings(atoms=1)
            )


def atoms_of(teacher: Teacher) -> dict[str, torch.Tensor]:
    """The rows in which a teacher looks its features up, by scale and component."""
    return {name: rows for name, rows in teacher.named_buffers() if ".atoms_" in name}


class TestExtend:
    """Atoms of new faces beside those of a dictionary: the teacher need not be trained again."""

    def test_old_atoms_come_first_and_new_ones_are_those_of_a_build_of_their_own(
        self, built: tuple[Built, Path], build: Build
    ) -> None:
        other = replace(SETTINGS, atoms=2, seed=7)
        alone = build("alone", other).dictionary
        both = build("both", other, extend=built[1]).dictionary
        for key in KEYS:
            assert torch.equal(both.atoms[key][:K], built[0].dictionary.atoms[key])
            assert torch.equal(both.atoms[key][K:], alone.atoms[key])
        assert both.provenance["atoms"] == K + 2
        assert both.provenance["first"]["sha256"] == built[0].dictionary.sha256
        assert both.provenance["added"]["seed"] == 7

    def test_a_teacher_takes_it_and_what_it_chose_before_it_can_choose_still(
        self, built: tuple[Built, Path], build: Build
    ) -> None:
        teacher = Teacher(encoder=encoder(), dictionary=built[1])
        both = build("both", replace(SETTINGS, atoms=2, seed=7), extend=built[1]).dictionary
        before = atoms_of(teacher)
        assert len(before) == len(KEYS)
        teacher.load_dictionary(both)
        for key, rows in atoms_of(teacher).items():
            assert len(rows) == K + 2
            assert torch.equal(rows[:K], before[key]), key
        lr, boxes = torch.rand(1, 3, 32, 32), torch.tensor(BOXES).float()[None]
        assert torch.isfinite(teacher(lr, boxes)).all()

    def test_a_trained_teacher_is_loaded_with_it_and_with_no_other(
        self, built: tuple[Built, Path], build: Build, tmp_path: Path
    ) -> None:
        teacher = Teacher(encoder=encoder(), dictionary=built[1])
        save_network(tmp_path / "t.safetensors", teacher, TEACHER | {"dictionary": str(built[1])})
        added = replace(SETTINGS, atoms=2, seed=7)
        once = build("once", added, extend=built[1])
        twice = build("twice", added, extend=tmp_path / "once.safetensors")
        build("alone", added)
        for name, more in (("once", 2), ("twice", 4)):
            loaded = load_network(tmp_path / "t.safetensors", tmp_path / f"{name}.safetensors")
            assert loaded.dictionary_bytes == teacher.dictionary_bytes * (K + more) // K
        assert once.dictionary.provenance["first"] != twice.dictionary.provenance["first"]
        with pytest.raises(DictionaryError, match="the teacher was trained with a dictionary of"):
            load_network(tmp_path / "t.safetensors", tmp_path / "alone.safetensors")

    def test_another_encoder_is_refused_before_any_face_is_read(
        self, built: tuple[Built, Path], tmp_path: Path
    ) -> None:
        torch.manual_seed(9)
        other = VGG19(width=1, weights="random")
        with pytest.raises(DictionaryError, match="use the encoder that built it"):
            build_dictionary.build_dictionary(
                tmp_path / "nowhere", other, tmp_path / "d.safetensors", SETTINGS, extend=built[1]
            )


def test_a_disk_without_space_for_the_features_is_said_at_once(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mapped file has holes; the process would be killed while it fills them."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFullError, match=r"features_relu2_2_left_eye\.npy.*the disk is full"):
        build()
