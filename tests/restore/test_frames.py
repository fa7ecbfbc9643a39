"""Faces that a network of scale 1 restores in a frame of their own, and backgrounds."""

import pickle
import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from helpers.fakes import Brighter, Known, Nearest, noise
from PIL import Image

from faceskd.common.errors import ConfigError, ImageError, WeightsError
from faceskd.export import export_network
from faceskd.export.onnx import Onnx
from faceskd.faces.align import warp
from faceskd.models.baselines.rrdb import RRDBNet
from faceskd.models.photo import PhotoNet
from faceskd.models.weights import save_network
from faceskd.portraits import render_portrait
from faceskd.restore.background import TILE, TiledScene, enlarged_part
from faceskd.restore.frame_face import kept_share, matched
from faceskd.restore.photo import PhotoSettings, add_detail, find_faces, put_back
from faceskd.restore.restorer import Restorer

SIDE = 230
CENTRE = (256, 250, SIDE)
FRAME = 256
SETTINGS = PhotoSettings(scale=1, frame=FRAME)
TINY = {"widths": [8, 8, 8], "blocks": 1, "mixing": [0, 0]}


@pytest.fixture(scope="module")
def sharp():
    return render_portrait(3, size=512).image


@pytest.fixture(scope="module")
def soft(sharp):
    return cv2.GaussianBlur(sharp, (0, 0), SIDE / 32)


def lanczos(image, scale):
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def through_oracle(photo, truth, settings=SETTINGS, frames=(CENTRE,)):
    """Restore `photo` with a network that knows the picture `truth`."""
    faces = find_faces(photo, Known(*frames), settings)
    oracle = [warp(truth, face.matrix, FRAME) for face in faces if face.status == "ok"]
    return put_back(photo, add_detail(faces, oracle, settings.strength), settings)


def error(one, other):
    return np.abs(one.astype(float) - other).mean()


INNER = np.s_[180:330, 190:320]


class TestFrames:
    def test_a_soft_face_becomes_the_sharp_one_in_its_place(self, sharp, soft):
        result = through_oracle(soft, sharp)
        assert error(result[INNER], sharp[INNER]) < 0.35 * error(soft[INNER], sharp[INNER])
        assert error(result[:60], soft[:60]) == 0

    @pytest.mark.parametrize("scale", [1, 1.5, 3])
    def test_a_network_that_changes_nothing_gives_the_enlarged_photo_back(self, sharp, scale):
        settings = PhotoSettings(scale, frame=FRAME)
        (face,) = find_faces(sharp, Known(CENTRE), settings)
        (done,) = add_detail([face], [face.crop], 1)
        assert done.status == "kept" and "nothing to improve" in done.message
        np.testing.assert_array_equal(put_back(sharp, [done], settings), lanczos(sharp, scale))

    def test_noise_that_the_frame_cannot_hold_goes_where_the_network_removed_noise(self, sharp):
        """The face is twice as large as its frame: the network sees half the noise's octaves."""
        large = cv2.resize(sharp, (1152, 1152), interpolation=cv2.INTER_CUBIC)
        grainy = large + np.random.default_rng(0).normal(0, 12, large.shape)
        grainy = np.clip(grainy, 0, 255).astype(np.uint8)
        frame = tuple(2.25 * value for value in CENTRE)
        result = through_oracle(grainy, large, frames=[frame])
        inner = np.s_[450:675, 465:675]
        assert error(result[inner], large[inner]) < 0.75 * error(grainy[inner], large[inner])

    def test_detail_that_the_frame_cannot_hold_stays_where_the_network_kept_detail(self, sharp):
        rng = np.random.default_rng(0)
        texture = cv2.resize(rng.normal(0, 25, (768, 768, 1)), (1536, 1536))[..., None]
        photo = cv2.resize(sharp, (1536, 1536)) + texture + rng.normal(0, 12, (1536, 1536, 1))
        photo = np.clip(photo, 0, 255).astype(np.uint8)
        darker = photo - np.minimum(photo, 9)
        result = through_oracle(photo, darker, frames=[tuple(3 * value for value in CENTRE)])
        inner = np.s_[600:900, 620:900]
        fine = [
            image[inner].astype(float) - cv2.GaussianBlur(image[inner].astype(float), (0, 0), 1)
            for image in (photo, result)
        ]
        assert error(*fine) < 0.15 * np.abs(fine[0]).mean()

    def test_forced_faces_lose_what_the_frame_cannot_hold(self, sharp):
        large = cv2.resize(sharp, (1536, 1536), interpolation=cv2.INTER_CUBIC)
        photo = np.clip(large + np.random.default_rng(0).normal(0, 9, large.shape), 0, 255)
        photo = photo.astype(np.uint8)
        settings = PhotoSettings(scale=1, frame=FRAME, faces="force")
        result = through_oracle(photo, photo, settings, [tuple(3 * value for value in CENTRE)])
        inner = np.s_[600:900, 620:900]
        assert error(result[inner], large[inner]) < 0.6 * error(photo[inner], large[inner])

    def test_coarse_colours_are_the_photo_s(self, sharp, soft):
        tinted = np.clip(sharp * np.array([0.8, 1.0, 1.2]), 0, 255).astype(np.uint8)
        before, after = (
            image[INNER].astype(float).mean((0, 1))
            for image in (soft, through_oracle(soft, tinted))
        )
        difference = after - before
        assert np.abs(difference - difference.mean()).max() < 1.5

    def test_grey_stays_grey(self, sharp, soft):
        grey = np.repeat(cv2.cvtColor(soft, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        result = through_oracle(grey, sharp)
        assert np.ptp(result, axis=2).max() == 0 and error(result, grey) > 0.5

    def test_no_seam(self, soft):
        darker = np.clip(soft * 0.7, 0, 255).astype(np.uint8)
        steps = np.diff(through_oracle(soft, darker).astype(int) - soft, axis=1)
        assert np.abs(steps).max() <= 5  # the face darkens by up to 70 levels

    def test_strength_and_skip(self, sharp, soft):
        changes = [
            error(through_oracle(soft, sharp, PhotoSettings(1, strength, frame=FRAME)), soft)
            for strength in (0, 0.5, 1)
        ]
        assert changes[0] == 0
        assert changes[1] == pytest.approx(changes[2] / 2, rel=0.1)
        skipped = PhotoSettings(1, faces="skip", frame=FRAME)
        np.testing.assert_array_equal(through_oracle(soft, sharp, skipped), soft)

    def test_faces_that_overlap_are_not_restored_twice(self, soft):
        grey = np.repeat(cv2.cvtColor(soft, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        darker = np.clip(grey * 0.7, 0, 255).astype(np.uint8)
        both = through_oracle(grey, darker, frames=[(230, 250, SIDE), (280, 250, SIDE)])
        assert (both.astype(int) - darker).min() >= -2

    def test_the_share_that_is_kept(self):
        crop = noise(128, 128, 3)
        np.testing.assert_allclose(kept_share(crop, crop, 128), 1)
        assert kept_share(crop, np.full_like(crop, 128), 128).max() < 0.01
        half = crop.astype(np.float32) / 2
        assert kept_share(crop, half, 128).mean() == pytest.approx(1 / 9, abs=0.01)
        flat = np.full_like(crop, 90)
        np.testing.assert_allclose(kept_share(flat, flat, 128), 1)

    def test_matched_keeps_light_and_fine_colours(self):
        crop = np.full((64, 64, 3), 100, np.uint8)
        crop[0, 0, 0] = 101  # not grey
        brighter = matched(crop, np.full_like(crop, 120), 8)
        np.testing.assert_allclose(brighter[8:, 8:], 20, atol=0.5)
        spot = crop.copy()
        spot[32, 32, 0] = 200
        assert matched(crop, spot, 8)[32, 32, 0] > 90


class TestRestorer:
    def test_the_network_says_which_way_faces_go(self, soft):
        restorer = Restorer(Brighter(0.1), precision="fp32", detector=Known(CENTRE))
        photo = restorer(soft, scale=2)
        (face,) = photo.faces
        assert face.crop.shape == (FRAME, FRAME, 3) and face.status == "ok"
        assert photo.image[520, 512].mean() == pytest.approx(
            lanczos(soft, 2)[520, 512].mean() + 26, abs=2
        )
        assert restorer.aligned(noise(64, 80, 3)).shape == (FRAME, FRAME, 3)
        with pytest.raises(ImageError, match=r"expected faces as .*256.*got .*32, 32"):
            restorer.restore_faces(noise(1, 32, 32, 3))

    def test_a_picture_of_32_px_is_a_photo(self):
        restorer = Restorer(Brighter(), detector=Known())
        assert restorer(noise(32, 32, 3), scale=2).image.shape == (64, 64, 3)

    def test_files_and_pickles_say_their_scale(self, tmp_path, soft):
        network = PhotoNet(**TINY)
        config = {"_target_": "faceskd.models.photo.PhotoNet", **TINY}
        save_network(tmp_path / "a.safetensors", network, config)
        restorer = Restorer(tmp_path / "a.safetensors", detector=Known(CENTRE))
        assert restorer.frame == 512
        again = pickle.loads(pickle.dumps(restorer))
        np.testing.assert_array_equal(again(soft).image, restorer(soft).image)

    def test_onnx_files_say_their_scale(self, tmp_path):
        export_network(Brighter(0.1), tmp_path / "a.onnx", backend=Onnx(), model_config={})
        assert Restorer(tmp_path / "a.onnx").frame == FRAME

    def test_fidelity_with_one_file_blends_with_the_input(self, soft):
        changes = [
            error(
                Restorer(Brighter(0.2), fidelity=fidelity, precision="fp32").aligned(soft),
                Restorer(Brighter(0.0), precision="fp32").aligned(soft),
            )
            for fidelity in (0, 0.5, 1)
        ]
        assert changes[2] == 0
        assert changes[1] == pytest.approx(changes[0] / 2, rel=0.1)

    def test_fidelity_with_two_files_interpolates_weights(self, tmp_path, soft):
        config = {"_target_": "faceskd.models.photo.PhotoNet", **TINY}
        networks = [PhotoNet(**TINY) for _ in range(2)]
        for name, network in zip("ab", networks, strict=True):
            save_network(tmp_path / f"{name}.safetensors", network, config)
        files = {"faithful": tmp_path / "b.safetensors", "precision": "fp32"}
        first, middle, last = (
            Restorer(tmp_path / "a.safetensors", fidelity=fidelity, **files)
            for fidelity in (0, 0.5, 1)
        )
        alone = [Restorer(network, precision="fp32").aligned(soft) for network in networks]
        np.testing.assert_array_equal(first.aligned(soft), alone[0])
        np.testing.assert_array_equal(last.aligned(soft), alone[1])
        state = {
            name: (value + networks[1].state_dict()[name]) / 2
            for name, value in networks[0].state_dict().items()
        }
        networks[0].load_state_dict(state)
        expected = Restorer(networks[0], precision="fp32").aligned(soft)
        assert error(middle.aligned(soft), expected) < 0.01

    @pytest.mark.parametrize(
        "network, options, message",
        [
            (Brighter(), {"fidelity": 2}, "fidelity from 0 to 1"),
            (Nearest(), {"fidelity": 0.5}, "scale 1"),
            (Brighter(), {"fidelity": 0.5, "faithful": Brighter()}, "two files"),
            (Brighter(), {"scene": Nearest()}, "scale 1 or 4 for pictures"),
            (RRDBNet(width=4, growth=4, blocks=1, scale=4), {}, "scale 1 or 8 for faces"),
        ],
    )
    def test_impossible_settings(self, network, options, message):
        with pytest.raises(ConfigError, match=message):
            Restorer(network, **options)


def local(x):
    """Adds pixels that lie 40 px away, so that tiles without a halo would show."""
    return x + 0.1 * sum(torch.roll(x, by, dims) for by in (40, -40) for dims in (2, 3))


class TestBackground:
    def test_tiles_leave_no_trace(self):
        photo = cv2.GaussianBlur(noise(430, 520, 3), (0, 0), 3)
        size = (2 * 520, 2 * 430)
        assert size[0] > 2 * TILE
        whole = local(torch.from_numpy(lanczos(photo, 2).copy()).movedim(-1, 0)[None] / 255)
        whole = whole[0].clamp(0, 1).mul(255).round().movedim(0, -1).numpy()
        result = TiledScene(local)(photo, size)
        inner = np.s_[40:-40, 40:-40]  # beyond the border, other pixels are added
        difference = np.abs(result[inner] - whole[inner])  # Lanczos of a part rounds otherwise
        assert difference.max() <= 3 and difference.mean() < 0.05

    def test_a_network_of_scale_4_leaves_no_trace_either(self):
        photo = noise(430, 520, 3)

        def four_times(x):
            return local(x.repeat_interleave(4, 2).repeat_interleave(4, 3))

        whole = four_times(torch.from_numpy(photo).movedim(-1, 0)[None] / 255)
        whole = whole[0].clamp(0, 1).mul(255).round().movedim(0, -1).numpy()
        scene = TiledScene(four_times, 4)
        inner = np.s_[40:-40, 40:-40]
        np.testing.assert_allclose(scene(photo, (2080, 1720))[inner], whole[inner], atol=1)
        half = lanczos(scene(photo, (2080, 1720)), 0.5)
        np.testing.assert_array_equal(scene(photo, (1040, 860)), half)

    def test_memory_is_that_of_a_tile(self):
        photo = np.zeros((1200, 1200, 3), np.uint8)
        tracemalloc.start()
        result = TiledScene(lambda x: x)(photo, (2400, 2400))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < result.nbytes + 12e6

    def test_grey_stays_grey_and_scale_8_is_reached(self):
        grey = np.repeat(noise(30, 40, 1), 3, axis=2)
        tint = torch.tensor([0.0, 0.1, 0.0])[:, None, None]
        result = TiledScene(lambda x: x + tint)(grey, (320, 240))
        assert result.shape == (240, 320, 3) and np.ptp(result, axis=2).max() == 0

    def test_faces_lie_on_the_restored_background(self, soft):
        scene = Brighter(0.1)
        restorer = Restorer(Brighter(0.3), scene=scene, precision="fp32", detector=Known(CENTRE))
        result = restorer(soft, scale=1, background="scene").image.astype(float)
        change = (result - soft)[:, :, 0]
        assert change[5, 5] == pytest.approx(25.5, abs=1)
        assert change[250, 256] == pytest.approx(76.5, abs=2)
        assert change[:, 256].max() < 85

    def test_none_repeats_pixels(self):
        photo = noise(20, 30, 3)
        result = Restorer(Brighter(), detector=Known())(photo, background="none").image
        np.testing.assert_array_equal(result, photo.repeat(2, 0).repeat(2, 1))

    def test_scene_without_weights_says_so(self, soft):
        with pytest.raises(WeightsError, match="or choose the background 'lanczos'"):
            Restorer(Brighter(), detector=Known())(soft, background="scene")
        with pytest.raises(ConfigError, match="background as one of scene, lanczos, none"):
            PhotoSettings(background="sea")

    def test_a_part_is_the_part_of_the_whole(self):
        photo = noise(50, 70, 3)
        whole = lanczos(photo, 3)
        part = enlarged_part(Image.fromarray(photo), (210, 150), (31, 20, 130, 77)).astype(int)
        assert np.abs(part - whole[20:77, 31:130]).max() <= 1
