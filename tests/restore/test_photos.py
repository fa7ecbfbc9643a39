"""Folders of whole photos, as the command restores them."""

import csv
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.fakes import Known, Nearest, noise
from PIL import Image

from faceskd.commands.restore import main
from faceskd.common.errors import ConfigError
from faceskd.common.images import read_image, write_image
from faceskd.portraits import render_portrait
from faceskd.restore.photo import PhotoSettings
from faceskd.restore.photos import WholePhotos
from faceskd.restore.plan import plan_inputs
from faceskd.restore.restorer import Restorer
from faceskd.restore.stream import restore_inputs


@pytest.fixture(scope="module")
def portrait():
    return cv2.GaussianBlur(render_portrait(3, size=256).image, (0, 0), 3)


@pytest.fixture
def inbox(tmp_path, portrait):
    folder = tmp_path / "in box"
    write_image(folder / "a.jpg", portrait)
    write_image(folder / "sub/b.png", portrait[::-1])
    return folder


def rows(out):
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def restore(inbox, out, *frames, batch_size=8, **options):
    restorer = Restorer(Nearest(), precision="fp32", batch_size=batch_size)
    task = WholePhotos(Known(*frames), PhotoSettings(), **options)
    inputs = plan_inputs(inbox, out, folders=task.folders, suffixes=task.suffixes)
    return restore_inputs(restorer, inputs, out, task)


FRAMES = ((128, 125, 120), (60, 60, 50), (190, 60, 40, 0.3))


class TestFolder:
    def test_results_lie_where_users_of_its_peers_look(self, inbox, tmp_path):
        out = tmp_path / "out"
        restore(inbox, out, *FRAMES)
        names = [f"{photo}_{face}.png" for photo in ("a", "sub/b") for face in ("00", "01")]
        assert files(out) == sorted(
            ["results.csv", "restored_imgs/a.jpg", "restored_imgs/sub/b.png"]
            + [f"{folder}/{name}" for folder in ("restored_faces", "cmp") for name in names]
            + [f"cropped_faces/{name}" for name in [*names, "a_02.png", "sub/b_02.png"]]
        )
        assert Image.open(out / "restored_imgs/a.jpg").size == (512, 512)
        sides = read_image(out / "cmp/a_00.png")
        np.testing.assert_array_equal(sides[:, :256], read_image(out / "cropped_faces/a_00.png"))
        np.testing.assert_array_equal(sides[:, 256:], read_image(out / "restored_faces/a_00.png"))

    def test_each_face_has_a_row_with_its_box_and_status(self, inbox, tmp_path):
        out = tmp_path / "out"
        restore(inbox, out, *FRAMES)
        first, _, profile = [row for row in rows(out) if row["source"] == "a.jpg"]
        assert [first[key] for key in ("face", "status", "output", "image")] == [
            "0",
            "ok",
            "restored_faces/a_00.png",
            "restored_imgs/a.jpg",
        ]
        assert [float(first[key]) for key in ("x1", "y1", "x2", "y2")] == [68, 65, 188, 185]
        assert (profile["status"], profile["output"]) == ("profile", "")
        assert "px across, left as it is: seen from the side" in profile["message"]

    @pytest.mark.parametrize("batch_size", [1, 3])
    def test_batches_change_nothing(self, inbox, tmp_path, batch_size):
        for name, size in (("one", batch_size), ("other", 8)):
            restore(inbox, tmp_path / name, *FRAMES, batch_size=size)
        for name in files(tmp_path / "one"):
            one, other = ((tmp_path / folder / name).read_bytes() for folder in ("one", "other"))
            assert one == other

    def test_photos_without_a_face_are_enlarged_and_said(self, inbox, tmp_path):
        results = restore(inbox, tmp_path / "out")
        assert [result.status for result in results] == ["no_face", "no_face"]
        assert Image.open(tmp_path / "out/restored_imgs/sub/b.png").size == (512, 512)

    def test_no_paste_back_leaves_photos_out(self, inbox, tmp_path):
        restore(inbox, tmp_path / "out", *FRAMES, paste_back=False)
        assert not (tmp_path / "out/restored_imgs").exists()
        assert len(list((tmp_path / "out/restored_faces").rglob("*.png"))) == 4

    def test_a_picture_of_32_is_an_aligned_face_as_in_python(self, tmp_path):
        face = noise(32, 32, 3)
        write_image(tmp_path / "in/face.png", face)
        (result,) = restore(tmp_path / "in", tmp_path / "out")
        photo = Restorer(Nearest(), precision="fp32", detector=Known())(face)
        assert (result.status, photo.faces[0].status) == ("ok", "ok")
        for folder, name in (("restored_imgs", "face.png"), ("restored_faces", "face_00.png")):
            np.testing.assert_array_equal(read_image(tmp_path / "out" / folder / name), photo.image)

    def test_photos_in_another_format(self, inbox, tmp_path):
        restore(inbox, tmp_path / "out", *FRAMES, ext="webp")
        assert files(tmp_path / "out/restored_imgs") == ["a.webp", "sub/b.webp"]
        with pytest.raises(ConfigError, match="ext"):
            restore(inbox, tmp_path / "out", ext="gif")

    def test_a_run_in_place_does_not_restore_its_own_results(self, inbox):
        first = restore(inbox, inbox, *FRAMES)
        assert restore(inbox, inbox, *FRAMES) == first

    def test_broken_and_too_large_photos_cost_only_themselves(self, inbox, tmp_path, monkeypatch):
        (inbox / "broken.jpg").write_bytes(b"\xff\xd8 no image")
        monkeypatch.setattr("faceskd.restore.background.MAX_RESULT_PIXELS", 600_000)
        write_image(inbox / "wide.png", noise(300, 600, 3))
        results = restore(inbox, tmp_path / "out", *FRAMES)
        statuses = {result.source: result.status for result in results}
        assert statuses.pop("broken.jpg") == "unreadable"
        assert statuses.pop("wide.png") == "unreadable"
        assert set(statuses) == {"a.jpg", "sub/b.png"}
        assert any("got 1200x600" in result.message for result in results)


class TestCommand:
    def run(self, inbox, out, onnx_file, *more):
        return main(["-i", str(inbox), "-o", str(out), "-w", str(onnx_file), *more])

    def test_restores_photos(self, inbox, tmp_path, onnx_file, capsys):
        out = tmp_path / "out"
        assert self.run(inbox, out, onnx_file, "--scale", "1", "--strength", "0.5") == 0
        assert Image.open(out / "restored_imgs/a.jpg").size == (256, 256)
        (a,) = [row for row in rows(out) if row["source"] == "a.jpg"]
        assert a["status"] == "ok" and float(a["score"]) > 0.9
        assert "ok" in capsys.readouterr().err

    def test_a_broken_photo_is_status_1(self, inbox, tmp_path, onnx_file):
        (inbox / "broken.jpg").write_bytes(b"")
        assert self.run(inbox, tmp_path / "out", onnx_file, "--no-paste-back") == 1

    @pytest.mark.parametrize("flag", [("--scale", "9"), ("--strength", "-1")])
    def test_impossible_settings_are_status_2(self, inbox, tmp_path, onnx_file, flag):
        with pytest.raises(SystemExit) as stop:
            self.run(inbox, tmp_path / "out", onnx_file, *flag)
        assert stop.value.code == 2
        assert not (tmp_path / "out").exists()

    @pytest.mark.skipif("FACESKD_FACES" not in os.environ, reason="FACESKD_FACES is not set")
    def test_faces_of_real_photographs_are_found_and_sharp(self, tmp_path, onnx_file):
        photos = sorted(Path(os.environ["FACESKD_FACES"], "test").glob("*.*"))[:3]
        inbox = tmp_path / "in"
        inbox.mkdir()
        for photo in photos:
            (inbox / photo.name).symlink_to(photo)
        self.run(inbox, tmp_path / "out", onnx_file, "--scale", "1")
        table = rows(tmp_path / "out")
        assert {row["status"] for row in table} <= {"kept", "partly"}
        for photo in photos:
            restored = next((tmp_path / "out/restored_imgs").glob(f"{photo.stem}.*"))
            change = read_image(restored).astype(float) - read_image(photo)
            assert np.abs(change).mean() < 1
