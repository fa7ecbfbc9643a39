"""Dictionaries: the file, the build that survives being killed, and its pictures."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision.ops import roi_align

from faceskd import __version__, build_dictionary, clustering
from faceskd.build_dictionary import BuildSettings, Built, component_features
from faceskd.commands.dictionary import main
from faceskd.components import COMPONENTS
from faceskd.config import compose
from faceskd.contact_sheet import CELL, GAP, contact_sheet, write_contact_sheets
from faceskd.dictionary import FORMAT, MIN_ATOM_SIZE, Dictionary, atom_shape
from faceskd.errors import ConfigError, DictionaryError, FacesError, WeightsError
from faceskd.files import sha256
from faceskd.images import read_image, to_tensor, write_image
from faceskd.manifest import Record, read_manifest, write_manifest
from faceskd.models import VGG19, FeatureInfo
from faceskd.models.vgg import DICTIONARY_TAPS, WIDTH_FACTORS
from faceskd.models.vgg_weights import save_vgg_weights

K = 3
SETTINGS = BuildSettings(atoms=K, initialisations=1, passes=1, iterations=3, batch_size=5, limit=12)
INFOS = [FeatureInfo(64 * WIDTH_FACTORS[b], 2**b) for b in (1, 2, 3, 4)]
KEYS = [f"{tap}/{component}" for tap in DICTIONARY_TAPS for component in COMPONENTS]


def encoder() -> VGG19:
    torch.manual_seed(0)
    return VGG19(width=1)


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
        wide = VGG19(width=2)
        with pytest.raises(DictionaryError, match=r"\(4, 20, 20\).*got \(2, 20, 20\).*width"):
            random_dictionary.check_encoder(wide.taps, wide.feature_info)

    def test_another_tap(self, random_dictionary: Dictionary) -> None:
        other = VGG19(width=1, taps=("relu2_2", "relu3_4", "relu4_4", "relu5_1"))
        with pytest.raises(DictionaryError, match="atoms of relu5_1/left_eye, got"):
            random_dictionary.check_encoder(other.taps, other.feature_info)

    def test_its_own_encoder(self, random_dictionary: Dictionary) -> None:
        random_dictionary.check_encoder(DICTIONARY_TAPS, encoder().feature_info)


Build = Callable[..., Built]


@pytest.fixture
def build(prepared_faces: Path, tmp_path: Path) -> Build:
    def run(name: str = "d", settings: BuildSettings = SETTINGS, **options: object) -> Built:
        out = tmp_path / f"{name}.safetensors"
        return build_dictionary.build_dictionary(
            prepared_faces, encoder(), out, settings, **options
        )

    return run


@pytest.fixture(scope="module")
def built(prepared_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Path]:
    out = tmp_path_factory.mktemp("built") / "d.safetensors"
    return build_dictionary.build_dictionary(prepared_faces, encoder(), out, SETTINGS), out


def content(path: Path) -> bytes:
    """Of all atoms: the metadata holds the memory that a run took."""
    return b"".join(value.numpy().tobytes() for _, value in sorted(load_file(path).items()))


class TestBuild:
    def test_atoms_are_means_of_the_components_of_faces(
        self, built: tuple[Built, Path], prepared_faces: Path
    ) -> None:
        result, _ = built
        records = read_manifest(prepared_faces, "train")[:12]
        assert result.records == records
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

    def test_features_by_spatial_scale_are_the_same(self) -> None:
        vgg, hr = encoder(), torch.rand(2, 3, 256, 256)
        boxes = torch.tensor([[[60.0, 60, 110, 110], [140, 60, 190, 110], [100, 110, 150, 160],
                               [80, 160, 180, 240]]] * 2)  # fmt: skip
        with torch.no_grad():
            cuts = component_features(vgg, hr, boxes)
        assert list(cuts) == KEYS
        for tap, info in zip(vgg.taps, vgg.feature_info, strict=True):
            for component in COMPONENTS:
                assert cuts[f"{tap}/{component}"].shape == (2, *atom_shape(component, info))

    def test_provenance_is_complete(self, built: tuple[Built, Path]) -> None:
        result, out = built
        provenance = result.dictionary.provenance
        assert json.loads(out.with_suffix(".json").read_text()) == provenance
        assert provenance["faces"] == 12
        assert provenance["taps"] == list(DICTIONARY_TAPS)
        assert provenance["width"] == 1
        assert provenance["encoder"] == result.dictionary.encoder == encoder().fingerprint()
        assert (provenance["atoms"], provenance["seed"]) == (K, 0)
        assert provenance["peak_memory_mib"] > 0
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
            Teacher(encoder=VGG19(width=1), dictionary=out)

    def test_the_encoder_given_stays_as_it_was(self, prepared_faces: Path, tmp_path: Path) -> None:
        vgg = encoder().train()
        build_dictionary.build_dictionary(prepared_faces, vgg, tmp_path / "d.safetensors", SETTINGS)
        assert vgg.training
        assert vgg.convs["1_1"].weight.requires_grad


class Killed(Exception):
    pass


class TestInterruption:
    """A killed build that is started again ends with the same atoms."""

    @pytest.mark.parametrize("batches", [0, 1, 2])
    def test_in_extraction(
        self,
        batches: int,
        built: tuple[Built, Path],
        build: Build,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Killed in the middle of a batch, when some of its files are written."""
        writes, opened = [], build_dictionary._open_features

        def open_or_die(*args: object) -> np.memmap:
            writes.append(args)
            if len(writes) > batches * len(KEYS) + 7:
                raise Killed
            return opened(*args)

        monkeypatch.setattr(build_dictionary, "_open_features", open_or_die)
        with pytest.raises(Killed):
            build()
        assert not (tmp_path / "d.safetensors").exists()
        monkeypatch.setattr(build_dictionary, "_open_features", opened)
        encoded = self.count_faces(monkeypatch)
        build()
        assert sum(encoded) == 12 - 5 * batches
        assert content(tmp_path / "d.safetensors") == content(built[1])

    def test_when_the_first_file_was_only_begun(
        self,
        built: tuple[Built, Path],
        build: Build,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(build_dictionary, "component_features", self.die)
            with pytest.raises(Killed):
                build()
        work = tmp_path / "d.safetensors.work"
        (work / "features_relu2_2_left_eye.npy").write_bytes(b"\x93NUM")
        build()
        assert content(tmp_path / "d.safetensors") == content(built[1])

    def test_in_clustering(
        self,
        built: tuple[Built, Path],
        build: Build,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        half, calls = len(KEYS) // 2, []
        allowed = iter(range(half))

        def cluster_half(*args: object, **options: object) -> clustering.Clusters:
            if next(allowed, None) is None:
                raise Killed
            return cluster(*args, **options)

        def cluster(*args: object, **options: object) -> clustering.Clusters:
            calls.append(args)
            return clustering.kmeans(*args, **options)

        monkeypatch.setattr(build_dictionary, "kmeans", cluster_half)
        with pytest.raises(Killed):
            build()
        monkeypatch.setattr(build_dictionary, "kmeans", cluster)
        encoded = self.count_faces(monkeypatch)
        result = build()
        assert encoded == []
        assert len(calls) == len(KEYS)  # each once, in two runs
        assert content(tmp_path / "d.safetensors") == content(built[1])
        for key, clusters in built[0].clusters.items():
            np.testing.assert_array_equal(result.clusters[key].nearest, clusters.nearest)
            assert result.clusters[key].inertia == clusters.inertia
            assert result.clusters[key].revived == clusters.revived

    @pytest.mark.parametrize("change", ["settings", "encoder", "note"])
    def test_work_of_another_build_is_not_used(
        self,
        change: str,
        build: Build,
        prepared_faces: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        build(keep_work=True)
        encoded = self.count_faces(monkeypatch)
        build(keep_work=True)
        assert encoded == []
        out, settings, vgg = tmp_path / "d.safetensors", SETTINGS, encoder()
        if change == "settings":
            settings = BuildSettings(**vars(SETTINGS) | {"limit": 10})
        elif change == "encoder":
            vgg = VGG19(width=1)
        else:
            (tmp_path / "d.safetensors.work" / "build.json").unlink()
        build_dictionary.build_dictionary(prepared_faces, vgg, out, settings)
        assert sum(encoded) == settings.limit

    @staticmethod
    def die(*args: object) -> dict:
        raise Killed

    @staticmethod
    def count_faces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
        counted: list[int] = []

        def counting(vgg: VGG19, hr: torch.Tensor, boxes: torch.Tensor) -> dict:
            counted.append(len(hr))
            return component_features(vgg, hr, boxes)

        monkeypatch.setattr(build_dictionary, "component_features", counting)
        return counted


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
        with pytest.raises(ConfigError, match=f"expected {name} of at least 1, got 0"):
            BuildSettings(**{name: 0})
        with pytest.raises(ConfigError, match="seed of at least 0"):
            BuildSettings(seed=-1)

    def test_faces_of_another_size(self, tmp_path: Path) -> None:
        write_image(tmp_path / "a.png", np.zeros((128, 160, 3), np.uint8))
        boxes = [[10.0, 10, 40, 40]] * 4
        write_manifest(tmp_path, [Record("a.jpg", "ok", split="train", face="a.png", boxes=boxes)])
        with pytest.raises(FacesError, match=r"256x256 px, but a\.png is 160x128"):
            build_dictionary.build_dictionary(
                tmp_path, encoder(), tmp_path / "d.safetensors", BuildSettings(atoms=1)
            )


class TestContactSheets:
    def test_one_for_each_tap_and_component(
        self, built: tuple[Built, Path], prepared_faces: Path, tmp_path: Path
    ) -> None:
        write_contact_sheets(built[0], prepared_faces, tmp_path, rows=2)
        names = {f"{key.replace('/', '_')}.png" for key in KEYS}
        assert {path.name for path in tmp_path.iterdir()} == names
        for name in names:
            sheet = read_image(tmp_path / name)
            assert sheet.shape == (2 * (CELL + GAP), 10 * (CELL + GAP), 3)

    def test_members_are_the_components_of_the_nearest_faces(
        self, built: tuple[Built, Path], prepared_faces: Path, tmp_path: Path
    ) -> None:
        result, _ = built
        write_contact_sheets(result, prepared_faces, tmp_path)
        clusters = result.clusters["relu4_4/mouth"]
        sheet = read_image(tmp_path / "relu4_4_mouth.png").astype(float)
        largest = int(np.argsort(-clusters.counts, kind="stable")[0])
        record = result.records[clusters.nearest[largest][0]]
        x1, y1, x2, y2 = (round(value) for value in record.boxes[3])
        mouth = read_image(prepared_faces / record.face)[y1:y2, x1:x2]
        shown = sheet[:CELL, 2 * (CELL + GAP) :][:, :CELL]
        assert np.abs(shown.mean((0, 1)) - mouth.mean((0, 1))).max() < 2
        assert shown.std() > 5

    def test_the_mean_and_the_blanks(self) -> None:
        nearest = np.full((1, 8), -1)
        nearest[0, :2] = 4, 9
        clusters = clustering.Clusters(np.zeros((1, 2)), np.array([2]), nearest, 0.0, 1, 0)
        patches = {
            4: np.full((CELL, CELL, 3), 10, np.uint8),
            9: np.full((CELL, CELL, 3), 31, np.uint8),
        }
        sheet = contact_sheet(clusters, np.array([0]), patches)
        cells = [sheet[10, i * (CELL + GAP) + 10, 0] for i in range(10)]
        assert cells[1:] == [20, 10, 31, *[255] * 6]
        assert (sheet[:CELL, :CELL] < 128).any()  # the number of members

    @pytest.mark.parametrize(
        "box", [[-40, -40, -10, -10], [300, 300, 330, 330], [50, 50, 50, 50], [-9, 200, 40, 290]]
    )
    def test_boxes_out_of_the_picture_still_give_a_patch(self, box: list[float]) -> None:
        from faceskd.contact_sheet import _patch

        assert _patch(np.zeros((256, 256, 3), np.uint8), box).shape == (CELL, CELL, 3)


class TestCommand:
    @pytest.fixture
    def options(self, prepared_faces: Path, tmp_path: Path) -> list[str]:
        weights = tmp_path / "encoder.safetensors"
        save_vgg_weights(encoder(), weights)
        return [
            f"faces={prepared_faces}", "encoder=tiny", "encoder.width=1",
            f"encoder.weights={weights}", f"out={tmp_path}/d.safetensors", "atoms=3", "limit=6",
            "initialisations=1", "iterations=2", "threads=1",
        ]  # fmt: skip

    def test_builds_says_how_and_shows(
        self, options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        main.task(compose("dictionary", options))
        printed = capsys.readouterr().out
        assert "peak memory" in printed
        assert "conv5_4/mouth" in printed
        dictionary = Dictionary.load(tmp_path / "d.safetensors")
        assert dictionary.provenance["faces"] == 6
        assert dictionary.encoder == encoder().fingerprint()
        assert len(list((tmp_path / "d.sheets").glob("*.png"))) == len(KEYS)
        assert not (tmp_path / "d.safetensors.work").exists()

    def test_random_weights_are_refused(self, options: list[str]) -> None:
        with pytest.raises(ConfigError, match=r"encoder with weights.*experiment=encoder"):
            main.task(compose("dictionary", [*options, "encoder.weights=null"]))

    def test_missing_weights_are_a_sentence_on_the_command_line(
        self,
        options: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        wrong = [*options, "encoder.weights=/nowhere.safetensors"]
        with pytest.raises(WeightsError, match="no VGG-19 weights at"):
            main.task(compose("dictionary", wrong))
        monkeypatch.setattr("sys.argv", ["dictionary", *wrong])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        printed = capsys.readouterr().err
        assert "error: no VGG-19 weights at '/nowhere.safetensors'" in printed
        assert "Traceback" not in printed
