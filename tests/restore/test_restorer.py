"""`Restorer` on odd inputs, and with weights and settings that cannot be."""

import cv2
import numpy as np
import pytest
import torch
from helpers.fakes import Known, Nearest, noise
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import faceskd
from faceskd.common.errors import ConfigError, ImageError, WeightsError
from faceskd.common.images import write_image
from faceskd.faces.lr_faces import to_lr
from faceskd.restore.photo import photo_detector
from faceskd.restore.restorer import Restorer


class Teacher(Nearest):
    needs_boxes = True


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
        np.testing.assert_array_equal(photo.boxes, [[0, 0, 32, 32]])
        assert [face.status for face in photo.faces] == ["ok"]
        np.testing.assert_array_equal(photo.faces[0].restored, photo.image)

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

    @pytest.mark.parametrize(
        "faces",
        [
            np.zeros((2, 32, 32, 3), np.float32),
            np.zeros((2, 64, 64, 3), np.uint8),
            np.zeros((32, 32, 3), np.uint8),
            [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32), np.uint8)],
            ["face.png"],
        ],
        ids=["float", "size", "no batch", "grey", "path"],
    )
    def test_other_lr_faces_are_refused(self, restorer, faces):
        with pytest.raises(ImageError, match=r"^expected faces as .*, got .*Restorer\.aligned"):
            restorer.restore_faces(faces)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_results_that_are_not_finite_are_refused(self, value, tmp_path):
        network = Nearest()
        network.gain.data.fill_(value)
        for precision in ("fp32", "bf16"):
            with pytest.raises(WeightsError, match="finite"):
                Restorer(network, precision=precision).aligned(noise(32, 32, 3))

    def test_results_of_a_file_that_are_not_finite_are_refused(self, onnx_file, monkeypatch):
        restorer = Restorer(onnx_file, detector=Known((50, 50, 60)))
        run = restorer._run

        def with_one_nan(lr):
            sr = run(lr).clone()
            sr[-1, 0, 200, 3] = torch.nan
            return sr

        monkeypatch.setattr(restorer, "_run", with_one_nan)
        photo = cv2.GaussianBlur(noise(100, 100, 3), (0, 0), 5)
        for call in (restorer, restorer.aligned):
            with pytest.raises(WeightsError, match="finite"):
                call(photo)

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
            monkeypatch.setattr("faceskd.restore.networks.multiplies_bfloat16", lambda has=has: has)
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
        for size in (0, -1, 2.5):
            with pytest.raises(ConfigError, match="at least 1 face"):
                Restorer(Nearest(), batch_size=size)

    @pytest.mark.parametrize("least", [0, -3, 0.5, float("nan"), float("inf")])
    def test_impossible_sizes_of_faces(self, least):
        with pytest.raises(ConfigError, match=r"^expected a smallest face .*, got "):
            photo_detector(least)
