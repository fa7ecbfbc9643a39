"""`Restorer` on odd inputs, and folders of files of which some are broken."""

import csv

import numpy as np
import pytest
from fakes import Nearest, noise, write_nearest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import faceskd
from faceskd.commands.restore import main
from faceskd.errors import ConfigError, FaceskdError, ImageError, WeightsError
from faceskd.images import write_image
from faceskd.lr_faces import to_lr
from faceskd.restore import Restorer
from faceskd.restore_files import AlignedFaces, restore_jobs
from faceskd.restore_plan import plan_jobs


class Teacher(Nearest):
    needs_boxes = True


@pytest.fixture
def restorer():
    return Restorer(Nearest(), precision="fp32", batch_size=2)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    return write_nearest(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "in box"
    (folder / "sub").mkdir(parents=True)
    return folder


def rows(out):
    with (out / "results.csv").open(newline="") as file:
        return {row["source"]: row for row in csv.DictReader(file)}


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


class TestRestorer:
    def test_is_the_package_s_door(self):
        assert faceskd.Restorer is Restorer

    def test_a_face_of_32_goes_in_as_it_is(self, restorer):
        face = noise(32, 32, 3)
        restored = restorer.aligned(face)
        assert (restored.shape, restored.dtype) == ((256, 256, 3), np.uint8)
        np.testing.assert_array_equal(restored[4::8, 4::8], face)

    def test_a_picture_of_32_is_a_face_and_not_a_photo(self, restorer):
        face = noise(32, 32, 3)
        photo = restorer(face)
        np.testing.assert_array_equal(photo.image, restorer.aligned(face))
        np.testing.assert_array_equal(np.asarray(photo), photo.image)
        assert np.asarray(photo, np.float32).dtype == np.float32
        assert photo.boxes.shape == (0, 4)

    def test_a_batch_gives_what_its_faces_give(self, restorer):
        batch = noise(3, 40, 50, 3)
        np.testing.assert_array_equal(
            restorer.aligned(batch), np.stack([restorer.aligned(f) for f in batch])
        )

    def test_an_empty_batch_gives_an_empty_batch(self, restorer):
        assert restorer.aligned(noise(0, 32, 32, 3)).shape == (0, 256, 256, 3)

    @given(
        height=st.integers(1, 90),
        width=st.integers(1, 90),
        colour=st.tuples(*[st.integers(0, 255)] * 3),
    )
    @settings(max_examples=30, deadline=None)
    def test_any_size_of_one_colour_keeps_it(self, height, width, colour):
        face = np.full((height, width, 3), colour, np.uint8)
        restored = Restorer(Nearest(), precision="fp32").aligned(face)
        np.testing.assert_array_equal(restored, np.full((256, 256, 3), colour, np.uint8))

    def test_shrinking_averages_areas_of_the_central_square(self):
        face = noise(64, 100, 3)
        square = face[:, 18:82].reshape(32, 2, 32, 2, 3).mean((1, 3))
        assert np.abs(to_lr(face) - square).max() <= 0.5

    def test_reads_paths_with_spaces_and_pil_images_of_odd_modes(self, restorer, tmp_path):
        face = noise(32, 32, 3)
        path = tmp_path / "my face.png"
        write_image(path, face)
        np.testing.assert_array_equal(restorer.aligned(path), restorer.aligned(face))
        np.testing.assert_array_equal(restorer.aligned(str(path)), restorer.aligned(face))
        grey = Image.fromarray(face[..., 0])
        np.testing.assert_array_equal(restorer.aligned(grey)[4::8, 4::8, 1], face[..., 0])
        clear = Image.fromarray(np.dstack([face, np.zeros((32, 32), np.uint8)]))
        assert (restorer.aligned(clear) == 255).all()

    def test_exif_rotation_is_applied(self, restorer, tmp_path):
        face = np.zeros((32, 32, 3), np.uint8)
        face[:16] = 255  # white above; orientation 3 says: shown upside down
        exif = Image.Exif()
        exif[0x0112] = 3
        Image.fromarray(face).save(tmp_path / "a.png", exif=exif)
        assert restorer.aligned(tmp_path / "a.png")[:128].max() == 0

    @pytest.mark.parametrize(
        "image",
        [
            np.zeros((32, 32), np.uint8),
            np.zeros((32, 32, 4), np.uint8),
            np.zeros((32, 32, 3), np.float32),
            np.zeros((0, 32, 3), np.uint8),
            np.zeros((2, 32, 32, 4), np.uint8),
            [[0, 0, 0]],
        ],
        ids=["grey", "alpha", "float", "empty", "batch with alpha", "list"],
    )
    def test_other_arrays_are_refused(self, restorer, image):
        with pytest.raises(ImageError, match=r"^expected .* got "):
            restorer.aligned(image)

    def test_onnx_file_gives_the_same_face(self, restorer, onnx_file):
        face = noise(2, 32, 32, 3)
        np.testing.assert_array_equal(Restorer(onnx_file).aligned(face), restorer.aligned(face))

    def test_bf16_stays_within_its_rounding(self):
        network = Nearest()
        network.gain.data.fill_(0.7)
        face = noise(32, 32, 3)
        exact = Restorer(network, precision="fp32").aligned(face)
        coarse = Restorer(network, precision="bf16").aligned(face)
        assert 0 < np.abs(coarse.astype(int) - exact).max() <= 1

    def test_auto_takes_bf16_only_where_it_is_fast_and_free(self, onnx_file, monkeypatch):
        for has, expected in ((True, "bf16"), (False, "fp32")):
            monkeypatch.setattr("faceskd.restore.multiplies_bfloat16", lambda has=has: has)
            assert Restorer(Nearest()).precision == expected
            assert Restorer(onnx_file).precision == "fp32"

    def test_no_weights_says_how_to_get_them(self):
        with pytest.raises(WeightsError, match=r"faceskd export.*faceskd train.*from_pretrained"):
            Restorer()

    def test_missing_and_foreign_weights(self, tmp_path):
        with pytest.raises(WeightsError, match="nowhere"):
            Restorer(tmp_path / "nowhere.safetensors")
        (tmp_path / "a.safetensors").write_bytes(b"nothing of use")
        with pytest.raises(WeightsError):
            Restorer(tmp_path / "a.safetensors")

    def test_teacher_is_refused(self):
        with pytest.raises(WeightsError, match="Teacher, which needs component boxes"):
            Restorer(Teacher())

    def test_impossible_settings(self, onnx_file):
        with pytest.raises(ConfigError, match="fp16"):
            Restorer(Nearest(), precision="fp16")
        with pytest.raises(ConfigError, match=r"nearest\.onnx"):
            Restorer(onnx_file, precision="bf16")
        with pytest.raises(ConfigError, match="toaster"):
            Restorer(Nearest(), device="toaster")
        with pytest.raises(ConfigError, match="GPUs"):
            Restorer(Nearest(), device="cuda:99")
        with pytest.raises(ConfigError, match="at least 1 face"):
            Restorer(Nearest(), batch_size=0)


class TestNames:
    def plan(self, inbox, out, *names):
        for name in names:
            write_image(inbox / name, noise(4, 4, 3))
        return {job.source: job.name for job in plan_jobs(inbox, out)}

    def test_sub_folders_are_kept(self, inbox, tmp_path):
        names = self.plan(inbox, tmp_path / "out", "a.png", "sub/a.png")
        assert names == {"a.png": "a", "sub/a.png": "sub/a"}

    def test_same_stems_keep_their_suffixes(self, inbox, tmp_path):
        names = self.plan(inbox, tmp_path / "out", "a.jpg", "a.png", "b.jpg")
        assert names == {"a.jpg": "a_jpg", "a.png": "a_png", "b.jpg": "b"}

    def test_a_name_that_is_taken_gets_a_number(self, inbox, tmp_path):
        names = self.plan(inbox, tmp_path / "out", "a.jpg", "a.png", "a_jpg.png")
        assert names["a_jpg.png"] == "a_jpg"
        assert names["a.jpg"] == "a_jpg_2"

    @given(st.lists(st.sampled_from(["a", "A", "a_png", "a_jpg", "b"]), unique=True),
           st.sets(st.sampled_from([".png", ".jpg", ".JPG"]), min_size=1))  # fmt: skip
    @settings(max_examples=40, deadline=None)
    def test_no_two_results_share_a_name(self, tmp_path_factory, stems, suffixes):
        inbox = tmp_path_factory.mktemp("in")
        out = tmp_path_factory.mktemp("out")
        (inbox / "z.png").touch()
        for stem in stems:
            for suffix in suffixes:
                (inbox / (stem + suffix)).touch()
        outputs = [job.name.casefold() for job in plan_jobs(inbox, out)]
        assert len(set(outputs)) == len(outputs) == len(list(inbox.iterdir()))

    def test_results_below_the_inputs_are_no_inputs(self, inbox):
        out = inbox / "out"
        assert self.plan(inbox, out, "a.png", "out/a.png") == {"a.png": "a"}

    def test_a_result_never_replaces_an_input(self, inbox):
        with pytest.raises(ConfigError, match=r"'a\.png' would replace an input"):
            self.plan(inbox, inbox, "a.png")

    def test_results_of_an_earlier_run_in_place_are_no_inputs(self, inbox):
        write_image(inbox / "a.png", noise(4, 4, 3))
        write_image(inbox / "restored_imgs/a.png", noise(4, 4, 3))
        write_image(inbox / "cmp/a_00.png", noise(4, 4, 3))
        jobs = plan_jobs(inbox, inbox, folders=("restored_imgs", "cmp"))
        assert [job.source for job in jobs] == ["a.png"]

    def test_a_single_file(self, inbox, tmp_path):
        write_image(inbox / "a.jpg", noise(4, 4, 3))
        (job,) = plan_jobs(inbox / "a.jpg", tmp_path / "out")
        assert (job.source, job.name) == ("a.jpg", "a")


class TestFolder:
    def test_a_broken_file_costs_only_itself(self, restorer, inbox, tmp_path):
        out = tmp_path / "out"
        for index in range(5):
            write_image(inbox / f"{index}.png", np.full((32, 32, 3), 50 * index, np.uint8))
        (inbox / "sub/broken.jpg").write_bytes(b"\xff\xd8 no image")
        (inbox / "sub/empty.png").touch()
        results = restore_jobs(restorer, plan_jobs(inbox, out), out, AlignedFaces())
        assert len(results) == 7
        assert files(out) == [f"{index}.png" for index in range(5)]
        for index in range(5):
            assert (np.asarray(Image.open(out / f"{index}.png")) == 50 * index).all()
        table = rows(out)
        assert table["sub/broken.jpg"]["status"] == "unreadable"
        assert "empty" in table["sub/empty.png"]["detail"]
        assert [table[f"{index}.png"]["status"] for index in range(5)] == ["ok"] * 5

    def test_faces_of_several_files_share_a_batch(self, restorer, inbox, tmp_path, monkeypatch):
        for index in range(5):
            write_image(inbox / f"{index}.png", noise(32, 32, 3))
        sizes, restore = [], restorer.restore_lr

        def spy(faces):
            sizes.append(len(faces))
            return restore(faces)

        monkeypatch.setattr(restorer, "restore_lr", spy)
        restorer.batch_size = 4
        restore_jobs(restorer, plan_jobs(inbox, tmp_path / "o"), tmp_path / "o", AlignedFaces())
        assert sizes == [4, 1]

    def test_a_result_that_cannot_be_written_is_reported(self, restorer, inbox, tmp_path):
        out = tmp_path / "out"
        write_image(inbox / "a.png", noise(32, 32, 3))
        write_image(inbox / "sub/b.png", noise(32, 32, 3))
        out.mkdir()
        (out / "sub").write_text("a file where a folder has to be")
        results = restore_jobs(restorer, plan_jobs(inbox, out), out, AlignedFaces())
        assert [result.status for result in results] == ["ok", "unwritable"]
        assert files(out) == ["a.png"]

    def test_out_that_is_a_file_ends_before_any_work(self, restorer, inbox, tmp_path):
        write_image(inbox / "a.png", noise(32, 32, 3))
        (tmp_path / "out").write_text("")
        with pytest.raises(FaceskdError, match="cannot write to the folder"):
            restore_jobs(
                restorer, plan_jobs(inbox, tmp_path / "out"), tmp_path / "out", AlignedFaces()
            )

    def test_impossible_settings(self, restorer, tmp_path):
        with pytest.raises(ConfigError, match="at least 1"):
            restore_jobs(restorer, [], tmp_path, AlignedFaces(), workers=0)


class TestCommand:
    def test_restores_a_folder(self, inbox, tmp_path, onnx_file):
        write_image(inbox / "a b.png", noise(32, 32, 3))
        out = tmp_path / "out"
        arguments = ["-i", str(inbox), "-o", str(out), "--aligned", "--weights", str(onnx_file)]
        assert main(arguments) == 0
        assert files(out) == ["a b.png"]

    def test_one_broken_file_gives_the_others_and_status_1(
        self, inbox, tmp_path, onnx_file, capsys
    ):
        write_image(inbox / "a.png", noise(32, 32, 3))
        (inbox / "b.png").write_text("no image")
        out = tmp_path / "out"
        assert main(["-i", str(inbox), "-o", str(out), "--aligned", "-w", str(onnx_file)]) == 1
        assert files(out) == ["a.png"]
        printed = capsys.readouterr().err
        assert "1 ok, 1 unreadable" in printed
        assert "b.png: unreadable" in printed

    @pytest.mark.parametrize(
        ("given", "message"),
        [("missing", "missing"), (".", "no image")],
        ids=["no such path", "empty folder"],
    )
    def test_nothing_to_do_is_status_2(self, tmp_path, onnx_file, capsys, given, message):
        arguments = ["-i", str(tmp_path / given), "-o", str(tmp_path / "o"), "-w", str(onnx_file)]
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert message in capsys.readouterr().err

    def test_an_unknown_model_is_status_2_and_writes_nothing(self, inbox, tmp_path, capsys):
        write_image(inbox / "a.png", noise(32, 32, 3))
        with pytest.raises(SystemExit) as stop:
            main(["-i", str(inbox), "-o", str(tmp_path / "out"), "--model", "giant"])
        assert stop.value.code == 2
        assert "no pretrained student 'giant'" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
