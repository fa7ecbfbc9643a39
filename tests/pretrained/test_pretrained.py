"""Models of the package: found by name, checked by checksum, refused with a sentence."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.fakes import noise

import faceskd
from faceskd import pretrained
from faceskd.commands.restore import main
from faceskd.common.config import compose_model
from faceskd.common.errors import ConfigError, DictionaryError, FaceskdError, WeightsError
from faceskd.common.files import sha256
from faceskd.common.images import read_image, write_image
from faceskd.models.dictionary import Dictionary
from faceskd.models.weights import build_network, load_network, read_weights, save_network
from faceskd.pretrained import (
    DEFAULT_STUDENT,
    FORMAT,
    INDEX,
    available_models,
    find_model,
    load_pretrained,
    model_card,
    model_path,
)
from faceskd.pretrained.golden import differences, golden_figures, golden_path, read_golden
from faceskd.reproduce import cards
from faceskd.reproduce.cards import add_model
from faceskd.restore.restorer import Restorer

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("release_model", ROOT / "tools/release_model.py")
release_model = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(release_model)

FACTS = {
    "licence": "Apache-2.0", "notice": "none", "task": "32x32 to 256x256", "data": "drawn faces",
    "starts_from": "nothing", "limits": "toys", "bias": "all are drawn",
}  # fmt: skip


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A trained student and what `faceskd evaluate` would say of it."""
    folder = tmp_path_factory.mktemp("student")
    torch.manual_seed(0)
    config = compose_model("lite_s", ["width=8", "blocks=1", "stage_widths=[4,4,4]"])
    save_network(folder / "w.safetensors", build_network(config), config, {"steps": 7})
    write_metrics(folder, folder / "w.safetensors")
    return folder


def write_metrics(folder, weights):
    methods = {"bicubic": {"psnr": 26.0}, "ours": {"psnr": 28.123456}, "hr": {"grid_index": 1.3}}
    group = {"angles": [1, 2], "faces": 3, "methods": {"bicubic": {}, "ours": {}, "other": {}}}
    record = {
        "faces": 5, "machine": {}, "git_revision": "abc", "time": "now",
        "metrics": {name: {"values": values} for name, values in methods.items()},
        "skin_tone": {"darkest third": group},
        "settings": {
            "weights_sha256": {"ours": sha256(weights)}, "faces_folder": "/home/me/faces",
            "methods": {"ours": "/home/me/w"}, "seed": 0,
        },
    }  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps(record))


@pytest.fixture
def folder(tmp_path):
    """A folder of models like the package's, empty."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / INDEX).write_text(json.dumps({"format": FORMAT, "models": []}))
    return folder


def release_student(student, folder, name="lite-m", **options):
    given = {"role": "student", "facts": FACTS, "metrics": student / "metrics.json"}
    given |= {"version": 1} | options
    return add_model(student / "w.safetensors", name=name, folder=folder, **given)


class TestThePackage:
    def test_what_it_lists_is_there_and_whole(self):
        for model in available_models():
            assert model_card(model.full_name)["sha256"] == model.sha256
            if not model.recipe:
                path = model_path(model.full_name)
                assert path.stat().st_size == model.bytes
                assert read_weights(path) if model.role != "dictionary" else Dictionary.load(path)
        listed = {
            f"{model.full_name}.safetensors" for model in available_models() if not model.recipe
        }
        assert {path.name for path in pretrained.FOLDER.glob("*.safetensors")} == listed

    def test_no_file_has_weights_of_other_authors(self):
        assert "None of the files\ncontains weights" in (pretrained.FOLDER / "NOTICE").read_text()
        for model in available_models():
            assert "NOTICE" in model_card(model.full_name)["notice"]
            assert model_card(model.full_name)["licence"] == model.licence == "Apache-2.0"

    def test_its_notice_has_the_credits_that_the_cards_count(self):
        notice = (pretrained.FOLDER / "NOTICE").read_text()
        by, alike = notice.split("(CC BY 2.0,")[1].split("(CC BY-SA 2.0,")
        photo = re.compile(r"^- \w.+, https://www\.flickr\.com/photo\.gne\?id=(\d+)$", re.MULTILINE)
        assert "https://creativecommons.org/licenses/by/2.0/" in by
        assert "https://creativecommons.org/licenses/by-sa/2.0/" in alike
        assert (len(set(photo.findall(by))), len(set(photo.findall(alike)))) == (19, 2)
        for model in available_models():
            data = " ".join(model_card(model.full_name)["data"].split())
            assert "21 photos from Flickr (19 CC BY 2.0, 2 CC BY-SA 2.0)" in data

    def test_its_notice_has_every_credit_of_the_faces(self):
        sources = Path(os.environ.get("FACESKD_FACES", "none"), "SOURCES.md")
        if not sources.is_file():
            pytest.skip("FACESKD_FACES names no folder with a SOURCES.md")
        notice = (pretrained.FOLDER / "NOTICE").read_text()
        credits = re.findall(r"^- (\d+): (.+?) \(", sources.read_text(), re.MULTILINE)
        assert credits
        for number, author in credits:
            assert re.search(rf"^- {re.escape(author)}\b.*id={number}$", notice, re.MULTILINE)

    def test_its_list_is_the_package_s_own_function(self):
        assert faceskd.available_models is available_models

    def test_listing_does_not_wait_for_pytorch(self):
        code = "import faceskd, sys; faceskd.available_models(); print('torch' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout.strip() == "False"


class TestReleasing:
    def test_a_student_restores_as_it_did_before(self, student, folder):
        entry = release_student(student, folder)
        assert available_models(folder) == [entry]
        assert (entry.figures, entry.licence) == ({"psnr": 28.1235}, "Apache-2.0")
        assert entry.bytes == (folder / "lite-m@1.safetensors").stat().st_size
        before, after = load_network(student / "w.safetensors"), load_pretrained("lite-m", folder)
        assert entry.parameters == sum(p.numel() for p in after.parameters())
        lr = torch.rand(2, 3, 32, 32)
        with torch.inference_mode():
            torch.testing.assert_close(after(lr), before(lr), atol=2e-3, rtol=0)

    def test_weights_are_stored_in_half_and_computed_in_fp32(self, student, folder):
        release_student(student, folder)
        stored = read_weights(model_path("lite-m", folder)).state
        assert {value.dtype for value in stored.values()} == {torch.float16}
        assert {value.dtype for value in load_pretrained("lite-m", folder).parameters()} == {
            torch.float32
        }

    def test_the_card_says_all_and_names_no_folder(self, student, folder):
        release_student(student, folder)
        card = model_card("lite-m", folder)
        assert card["training"] == {"steps": 7}
        assert card["rounding_psnr_db"] > 60
        assert set(FACTS) <= set(card)
        assert set(card["evaluation"]["metrics"]) == {"bicubic", "ours", "hr"}
        assert set(card["evaluation"]["skin_tone"]["darkest third"]["methods"]) == {
            "bicubic", "ours",
        }  # fmt: skip
        assert card["evaluation"]["settings"] == {"seed": 0}
        assert "/home/me" not in json.dumps(card)

    def test_new_weights_get_a_version_and_the_newest_has_the_name(self, student, folder):
        old = release_student(student, folder, "lite-s")
        release_student(student, folder, "lite-m")
        new = release_student(student, folder, "lite-s", version=2)
        names = [model.full_name for model in available_models(folder)]
        assert names == ["lite-m@1", "lite-s@1", "lite-s@2"]
        assert find_model("lite-s", folder) == find_model("lite-s@2", folder) == new
        assert find_model("lite-s@1", folder) == old
        assert model_path("lite-s@1", folder).name == "lite-s@1.safetensors"
        assert model_path("lite-s", folder).name == "lite-s@2.safetensors"
        assert model_card("lite-s@1", folder)["version"] == 1
        assert model_card("lite-s", folder)["version"] == 2
        with pytest.raises(WeightsError, match=r"'lite-s@3'; there are: lite-m@1, lite-s@1, lite"):
            load_pretrained("lite-s@3", folder)

    def test_a_released_version_never_changes(self, student, folder):
        release_student(student, folder)
        before = (folder / "lite-m@1.safetensors").read_bytes()
        with pytest.raises(ConfigError, match="lite-m@1 is released already"):
            release_student(student, folder)
        assert (folder / "lite-m@1.safetensors").read_bytes() == before

    def test_golden_figures_are_written(self, student, folder):
        release_student(student, folder)
        stored = read_golden(golden_path(folder, "lite-m@1"))
        assert not list(differences(golden_figures(load_pretrained("lite-m", folder)), stored))

    def test_what_fp16_would_change_stays_in_fp32(self, student, folder, monkeypatch):
        monkeypatch.setattr(cards, "LEAST_PSNR", 300.0)
        release_student(student, folder)
        stored = read_weights(model_path("lite-m", folder))
        assert {value.dtype for value in stored.state.values()} == {torch.float32}
        assert model_card("lite-m", folder)["stored"] == stored.metadata["stored"] == "fp32"

    def test_the_models_of_a_plan_are_added_to_others(self, student, folder, tmp_path):
        release_student(student, folder)
        other = tmp_path / "other"
        other.mkdir()
        (other / INDEX).write_text(json.dumps({"format": FORMAT, "models": []}))
        new = release_student(student, other, version=2)
        with pytest.raises(ConfigError, match="expected models of lite-m; got 'lite-s'"):
            release_model.add_models(other, folder, ["lite-m", "lite-s"])
        assert release_model.add_models(other, folder, ["lite-m"]) == [new]
        assert [m.full_name for m in available_models(folder)] == ["lite-m@1", "lite-m@2"]
        assert load_pretrained("lite-m@2", folder)
        assert model_card("lite-m", folder) == model_card("lite-m", other)
        assert golden_path(folder, "lite-m@2").is_file()
        with pytest.raises(ConfigError, match="lite-m@2 is released already"):
            release_model.add_models(other, folder)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"facts": FACTS | {"bias": ""}}, "missing: \\['bias'\\]"),
            ({"role": "master"}, "expected a role"),
            ({"role": "teacher"}, "holds a Lite, no teacher"),
            ({"metrics": None}, "expected the metrics.json"),
            ({"method": "theirs"}, "one of ours, got 'theirs'"),
            ({"dictionary": "none"}, "expected a released dictionary, got .*: release it first"),
        ],
    )
    def test_what_is_missing_stops_it_before_anything_is_written(
        self, student, folder, options, message
    ):
        with pytest.raises(ConfigError, match=message):
            release_student(student, folder, **options)
        assert [path.name for path in folder.iterdir()] == [INDEX]

    def test_figures_of_other_weights_are_refused(self, student, folder, tmp_path):
        write_metrics(tmp_path, student / "metrics.json")
        with pytest.raises(ConfigError, match="was measured on other weights"):
            release_student(student, folder, metrics=tmp_path / "metrics.json")

    def test_too_large_is_refused(self, student, folder, monkeypatch):
        monkeypatch.setitem(cards.MOST_BYTES, "student", 100)
        with pytest.raises(ConfigError, match="expected a student of at most"):
            release_student(student, folder)
        assert [path.name for path in folder.iterdir()] == [INDEX]


class TestPhotoNetworks:
    """Networks of scale 1: their figures come from whole photos."""

    @pytest.fixture(scope="class")
    def photo(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("photo")
        torch.manual_seed(0)
        config = compose_model("photo_s", ["widths=[8,8,8]", "blocks=1", "mixing=[0,0]"])
        config["size"] = 256
        save_network(folder / "w.safetensors", build_network(config), config, {"steps": 7})
        values = {"psnr_24": 25.0, "psnr_gain_24": 0.91234, "grid_index_24": 1.5, "skin_L_24": 0.1}
        record = {
            "faces": 5, "skin_tones_by_size": [{"face": 24}],
            "metrics": {name: {"values": values} for name in ("lanczos", "ours", "hr")},
            "settings": {
                "weights_sha256": {"ours": sha256(folder / "w.safetensors")},
                "photos": "/home/me/photos", "seed": 0,
            },
        }  # fmt: skip
        (folder / "metrics.json").write_text(json.dumps(record))
        return folder

    def test_the_card_has_the_figures_against_lanczos(self, photo, folder):
        model = release_student(photo, folder, name="photo-s")
        assert model.figures == {"psnr_gain_24": 0.9123, "grid_index_24": 1.5}
        card = model_card("photo-s", folder)
        assert set(card["evaluation"]["metrics"]) == {"lanczos", "ours", "hr"}
        assert card["evaluation"]["skin_tone"] == [{"face": 24}]
        assert card["evaluation"]["settings"] == {"seed": 0}
        assert (folder / "golden" / "photo-s@1.json").is_file()

    def test_a_network_for_backgrounds_needs_no_figures(self, photo, folder):
        model = release_student(photo, folder, name="scene", role="scene", metrics=None)
        assert model.role == "scene" and model.figures == {}
        with pytest.raises(WeightsError, match="'scene' is a scene"):
            model_path("scene", folder, role="student")


class TestTeacherAndDictionary:
    @pytest.fixture
    def metrics(self, materials, tmp_path):
        write_metrics(tmp_path, materials / "teacher.safetensors")
        return tmp_path / "metrics.json"

    def release_both(self, materials, folder, metrics):
        shared = {"facts": FACTS, "folder": folder, "version": 1}
        atoms = materials / "dictionary.safetensors"
        add_model(atoms, name="atoms", role="dictionary", **shared)
        return add_model(
            materials / "teacher.safetensors", name="master", role="teacher",
            dictionary="atoms@1", metrics=metrics, **shared,
        )  # fmt: skip

    def test_a_teacher_finds_its_dictionary_beside_it(self, materials, folder, metrics):
        entry = self.release_both(materials, folder, metrics)
        assert entry.dictionary == "atoms@1"
        before = load_network(materials / "teacher.safetensors")
        after = load_pretrained("master", folder)
        lr, boxes = torch.rand(1, 3, 32, 32), torch.tensor([[[60.0, 90, 100, 130]] * 4])
        with torch.inference_mode():
            torch.testing.assert_close(after(lr, boxes), before(lr, boxes), atol=5e-3, rtol=0)

    def test_a_dictionary_left_out_says_how_to_make_it(self, materials, folder, metrics):
        self.release_both(materials, folder, metrics)
        (folder / "atoms@1.safetensors").unlink()
        index = json.loads((folder / INDEX).read_text())
        index["models"][-1]["recipe"] = "faceskd dictionary atoms=3"
        (folder / INDEX).write_text(json.dumps(index))
        assert find_model("atoms", folder).sha256 == sha256(materials / "dictionary.safetensors")
        with pytest.raises(WeightsError, match="make it by: faceskd dictionary atoms=3"):
            load_pretrained("master", folder)

    def test_the_teacher_s_own_dictionary_is_wanted(self, materials, folder, metrics, tmp_path):
        atoms = Dictionary.load(materials / "dictionary.safetensors")
        changed = {key: value + 1 for key, value in atoms.atoms.items()}
        Dictionary(changed, atoms.encoder).save(tmp_path / "other.safetensors")
        shared = {"facts": FACTS, "folder": folder, "version": 1}
        add_model(tmp_path / "other.safetensors", name="atoms", role="dictionary", **shared)
        with pytest.raises((ConfigError, DictionaryError)):
            add_model(
                materials / "teacher.safetensors", name="master", role="teacher",
                metrics=metrics, dictionary="atoms@1", **shared,
            )  # fmt: skip

    def test_a_teacher_is_no_restorer_and_a_dictionary_no_network(self, materials, folder, metrics):
        self.release_both(materials, folder, metrics)
        with pytest.raises(WeightsError, match="pretrained student, but 'master' is a teacher"):
            Restorer.from_pretrained("master", folder=folder)
        with pytest.raises(WeightsError, match="'atoms' is a dictionary"):
            load_pretrained("atoms", folder)


class TestWhatCanBeWrong:
    def test_an_empty_package_says_so(self, folder):
        with pytest.raises(WeightsError, match="comes without any; give a file of weights"):
            Restorer.from_pretrained(folder=folder)

    def test_an_unknown_name_says_what_is_there(self, student, folder):
        release_student(student, folder)
        with pytest.raises(
            WeightsError, match="no pretrained student 'giant'; there are: lite-m@1"
        ):
            Restorer.from_pretrained("giant", folder=folder)

    def test_one_changed_byte_is_noticed(self, student, folder):
        release_student(student, folder)
        path = folder / "lite-m@1.safetensors"
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="is damaged: expected the SHA-256"):
            Restorer.from_pretrained("lite-m", folder=folder)

    def test_a_missing_file_and_card(self, student, folder):
        release_student(student, folder)
        (folder / "lite-m@1.safetensors").unlink()
        (folder / "lite-m@1.json").unlink()
        with pytest.raises(WeightsError, match=r"is not there.*install faceskd again"):
            load_pretrained("lite-m", folder)
        with pytest.raises(WeightsError, match="card of the pretrained 'lite-m' cannot be read"):
            model_card("lite-m", folder)

    @pytest.mark.parametrize(
        "content",
        ["", "[]", "{}", '{"format": "other"}', f'{{"format": "{FORMAT}", "models": [{{}}]}}'],
    )
    def test_a_damaged_manifest(self, folder, content):
        (folder / INDEX).write_text(content)
        with pytest.raises(WeightsError, match="is damaged"):
            available_models(folder)

    def test_no_manifest(self, tmp_path):
        with pytest.raises(FaceskdError, match="is missing"):
            available_models(tmp_path)


class TestCommand:
    @pytest.fixture
    def inbox(self, tmp_path):
        write_image(tmp_path / "in/a.png", noise(32, 32, 3))
        return tmp_path / "in"

    @pytest.mark.parametrize(
        ("name", "words"), [(DEFAULT_STUDENT, []), ("lite-m", ["--model", "lite-m"])]
    )
    def test_restores_without_weights(
        self, student, folder, inbox, tmp_path, monkeypatch, name, words
    ):
        release_student(student, folder, name)
        monkeypatch.setattr(pretrained, "FOLDER", folder)
        out = tmp_path / "out"
        line = ["-i", str(inbox), "-o", str(out), "--aligned", "--precision", "fp32", *words]
        assert main(line) == 0
        restorer = Restorer.from_pretrained(name, folder=folder, precision="fp32")
        np.testing.assert_array_equal(read_image(out / "a.png"), restorer.aligned(inbox / "a.png"))

    def test_model_and_weights_exclude_each_other(self, inbox, tmp_path, capsys):
        line = ["-i", str(inbox), "-o", str(tmp_path), "-m", "lite-m", "-w", "a.safetensors"]
        with pytest.raises(SystemExit):
            main(line)
        assert "not allowed with" in capsys.readouterr().err
