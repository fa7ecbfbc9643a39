"""Whole photos: what is found, what is left, what comes back, and what files carry."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from helpers.fakes import Known, Nearest, noise
from PIL import Image, ImageCms, ImageOps

from faceskd.common.errors import ConfigError, ImageError
from faceskd.faces.align import warp
from faceskd.portraits import render_portrait
from faceskd.restore.octaves import SIZE, frame_size
from faceskd.restore.photo import (
    PhotoSettings,
    add_detail,
    find_faces,
    network_inputs,
    photo_detector,
    put_back,
)
from faceskd.restore.photo_files import Photo, read_photo, write_photo
from faceskd.restore.restorer import Restorer

SIDE = 230
CENTRE = (256, 250, SIDE)
"""Where the face of the portraits below is, for detectors that are told."""


@pytest.fixture(scope="module")
def sharp():
    return render_portrait(3, size=512).image


@pytest.fixture(scope="module")
def blurred(sharp):
    return cv2.GaussianBlur(sharp, (0, 0), SIDE / 32)


@pytest.fixture
def restorer():
    return Restorer(Nearest(), precision="fp32", detector=Known(CENTRE))


def lanczos(image, scale):
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def through_oracle(image, truth, settings, frames=(CENTRE,)):
    """Restore `image` with a network that knows the sharp picture `truth`."""
    faces = find_faces(image, Known(*frames), settings)
    oracle = [warp(truth, face.matrix, SIZE) for face in faces if face.status == "ok"]
    assert len(oracle) == len(network_inputs(image, faces))
    return put_back(image, add_detail(faces, oracle, settings.strength), settings)


def error(one, other):
    return np.abs(one.astype(float) - other).mean()


class TestQuality:
    @pytest.mark.parametrize("scale", [1, 1.5, 2, 4])
    def test_a_network_that_adds_nothing_gives_the_enlarged_photo_back(self, blurred, scale):
        result = through_oracle(blurred, blurred, PhotoSettings(scale))
        np.testing.assert_array_equal(result, lanczos(blurred, scale))

    def test_a_blurred_face_becomes_the_sharp_one_in_its_place(self, sharp, blurred):
        result = through_oracle(blurred, sharp, PhotoSettings(scale=1))
        inner = np.s_[180:330, 190:320]
        assert error(result[inner], sharp[inner]) < 0.35 * error(blurred[inner], sharp[inner])
        grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[inner] for image in (sharp, result)]
        start = np.eye(2, 3, dtype=np.float32)
        _, moved = cv2.findTransformECC(*grey, start, cv2.MOTION_TRANSLATION)
        assert np.hypot(*moved[:, 2]) < 0.05

    @pytest.mark.parametrize("side", [512, 300, 128, 64])
    def test_a_sharp_photo_at_scale_1_hardly_changes(self, sharp, side):
        photo = cv2.resize(sharp, (side, side), interpolation=cv2.INTER_AREA)
        ratio = side / 512
        detector = Known(tuple(ratio * value for value in CENTRE))
        restorer = Restorer(Nearest(), precision="fp32", detector=detector)
        assert error(restorer(photo, scale=1).image, photo) < 0.5

    def test_no_seam(self, sharp):
        rng = np.random.default_rng(0)
        photo = cv2.GaussianBlur(sharp, (0, 0), 6).astype(float)
        photo += cv2.GaussianBlur(rng.normal(0, 30, photo.shape), (0, 0), 2)
        photo = np.clip(photo, 0, 255).astype(np.uint8)
        other = np.ascontiguousarray(sharp[::-1, ::-1] // 2)
        result = through_oracle(photo, other, PhotoSettings(scale=1))
        assert error(result, photo) > 0.5

        def gradient(inset):
            """The mean step in a band of 4 px that lies `inset` px inside the frame's border."""
            x, y = np.abs(np.mgrid[:512, :512] + 0.5 - np.array([250, 256])[:, None, None])
            distance = SIDE / 2 - np.maximum(x, y)
            band = np.abs(distance - inset) < 2
            grey = cv2.cvtColor(result, cv2.COLOR_RGB2GRAY).astype(float)
            return np.hypot(*np.gradient(grey))[band].mean()

        around = (gradient(6) + gradient(-6)) / 2
        assert gradient(0) == pytest.approx(around, rel=0.1)

    def test_a_network_worse_than_the_photo_takes_no_detail_away(self, blurred):
        worse = cv2.GaussianBlur(blurred, (0, 0), 5)
        result = through_oracle(blurred, worse, PhotoSettings(scale=1))
        assert error(result, blurred) < 0.1 < error(worse, blurred)

    def test_strength_blends_towards_the_input(self, sharp, blurred):
        changes = [
            error(through_oracle(blurred, sharp, PhotoSettings(1, strength)), blurred)
            for strength in (0, 0.5, 1)
        ]
        assert changes[0] == 0
        assert changes[1] == pytest.approx(changes[2] / 2, rel=0.1)

    def test_colour_stays_the_photo_s(self, sharp, blurred):
        tinted = np.clip(sharp * np.array([0.6, 1.0, 1.3]), 0, 255).astype(np.uint8)
        result = through_oracle(blurred, tinted, PhotoSettings(scale=1))
        inner = np.s_[170:340, 180:330]
        change = result[inner].astype(float).mean((0, 1)) - blurred[inner].mean((0, 1))
        assert np.abs(change).max() < 2


class TestFaces:
    @pytest.mark.parametrize("side", [300, 480])
    def test_a_large_face_that_is_soft_becomes_the_sharp_one(self, sharp, side):
        large = cv2.resize(sharp, None, fx=side / SIDE, fy=side / SIDE)
        soft = cv2.GaussianBlur(large, (0, 0), side / 32)
        frame = tuple(value * side / SIDE for value in CENTRE)
        result = through_oracle(soft, large, PhotoSettings(scale=1), [frame])
        x, y = frame[:2]
        inner = np.s_[int(y - 0.3 * side) : int(y + 0.3 * side), int(x - 0.3 * side) : int(x + 99)]
        assert error(result[inner], large[inner]) < 0.5 * error(soft[inner], large[inner])

    def test_a_large_sharp_face_keeps_its_detail(self, sharp):
        large = cv2.resize(sharp, (1024, 1024), interpolation=cv2.INTER_CUBIC)
        frame = tuple(2 * value for value in CENTRE)
        (face,) = find_faces(large, Known(frame), PhotoSettings(scale=1))
        assert (face.status, network_inputs(large, [face])) == ("kept", [])
        assert "460 px across, left as it is" in face.message

    @pytest.mark.parametrize("block, grain, quality", [(5, 0, 95), (1, 30, 95), (1, 0, 4)])
    def test_noise_and_blocks_are_not_called_sharp_or_restored(self, sharp, block, grain, quality):
        photo = cv2.resize(sharp, None, fx=1 / block, fy=1 / block, interpolation=cv2.INTER_AREA)
        photo = cv2.resize(photo, (512, 512), interpolation=cv2.INTER_NEAREST)
        photo = photo + np.random.default_rng(0).normal(0, grain, photo.shape)
        photo = cv2.imencode(".jpg", np.clip(photo, 0, 255).astype(np.uint8), [1, quality])[1]
        (face,) = find_faces(cv2.imdecode(photo, 1), Known(CENTRE), PhotoSettings(scale=1))
        face = add_detail([face], [face.crop] * (face.status == "ok"), 1)[0]
        assert face.status == "kept"
        assert "noise" in face.message and "sharp" not in face.message

    def test_a_face_that_little_was_added_to_is_not_called_restored(self, sharp):
        soft = cv2.GaussianBlur(sharp, (0, 0), 0.52)
        (face,) = find_faces(soft, Known(CENTRE), PhotoSettings(scale=1))
        assert 0.05 < face.missing_octaves.max() < 0.5
        (face,) = add_detail([face], [warp(sharp, face.matrix, SIZE)], 1)
        assert face.status == "partly" and "in part" in face.message
        assert face.addition is not None and np.abs(face.addition).max() > 1

    def test_forced_faces_take_all_detail_of_the_model(self, sharp):
        other = np.ascontiguousarray(sharp[:, ::-1])
        settings = PhotoSettings(scale=1, faces="force")
        for frame in (CENTRE, (256, 256, 400)):
            (face,) = find_faces(sharp, Known(frame), settings)
            (face,) = add_detail([face], [warp(other, face.matrix, SIZE)], 1)
            assert face.status == "ok"
            fine = [
                image - cv2.GaussianBlur(image.astype(np.float32), (0, 0), 4)
                for image in (face.restored, warp(other, face.matrix, SIZE), face.crop)
            ]
            assert error(fine[0], fine[1]) < 0.2 * error(fine[2], fine[1])

    def test_skipped_faces_are_found_and_left(self, blurred):
        settings = PhotoSettings(scale=2, faces="skip")
        faces = find_faces(blurred, Known(CENTRE), settings)
        assert [face.status for face in faces] == ["skipped"] and network_inputs(
            blurred, faces
        ) == []
        np.testing.assert_array_equal(put_back(blurred, faces, settings), lanczos(blurred, 2))

    @pytest.mark.parametrize("choice", ["auto", "force"])
    def test_a_profile_is_left_even_when_forced(self, blurred, choice):
        settings = PhotoSettings(faces=choice)
        (face,) = find_faces(blurred, Known((*CENTRE, 0.2)), settings)
        assert (face.status, network_inputs(blurred, [face])) == ("profile", [])
        np.testing.assert_array_equal(put_back(blurred, [face], settings), lanczos(blurred, 2))

    def test_the_cameraman_has_one_eye(self):
        from skimage.data import (
            camera,  # a man in profile, whose second eye MTCNN sees in his camera
        )

        photo = np.stack([cv2.resize(camera(), (170, 170), interpolation=cv2.INTER_AREA)] * 3, -1)
        for image in (photo, np.ascontiguousarray(photo[:, ::-1])):
            faces = find_faces(image, photo_detector(), PhotoSettings(scale=4))
            assert [face.status for face in faces] == ["profile"]

    def test_only_the_face_nearest_to_the_centre(self, blurred):
        settings = PhotoSettings(only_center_face=True)
        detector = Known((100, 100, 150), (300, 260, 60), (450, 400, 200))
        (face,) = find_faces(blurred, detector, settings)
        assert face.size == pytest.approx(60, abs=0.01)

    def test_mtcnn_finds_portraits_where_they_are_large_and_small(self, sharp):
        photo = np.full((700, 1000, 3), 128, np.uint8)
        photo[100:612, 50:562] = sharp
        photo[300:428, 750:878] = cv2.resize(sharp, (128, 128), interpolation=cv2.INTER_AREA)
        faces = find_faces(photo, photo_detector(), PhotoSettings())
        centres = [(face.box[:2] + face.box[2:]) / 2 for face in faces]
        assert len(centres) == 2
        np.testing.assert_allclose(centres[0] - (50, 100), 4 * (centres[1] - (750, 300)), atol=25)
        assert frame_size(faces[0].matrix) > 3 * frame_size(faces[1].matrix)

    @pytest.mark.parametrize(
        "setting",
        [
            *({"scale": value} for value in (0.5, 9, float("nan"))),
            *({"strength": value} for value in (-0.1, 2, float("nan"))),
            {"faces": "all"},
        ],
    )
    def test_impossible_settings(self, setting):
        with pytest.raises(ConfigError, match=r"^expected .*, got "):
            PhotoSettings(**setting)

    def test_results_have_a_limit(self):
        wide = np.broadcast_to(np.uint8(0), (3000, 4000, 3))
        with pytest.raises(ImageError, match="32000x24000"):
            PhotoSettings(scale=8).size(wide)


class TestRestorer:
    def test_gives_image_faces_and_boxes(self, restorer, blurred):
        photo = restorer(blurred, scale=3)
        assert photo.image.shape == (1536, 1536, 3)
        (face,) = photo.faces
        assert face.status == "ok" and face.restored.shape == (256, 256, 3)
        np.testing.assert_allclose(photo.boxes, [[141, 135, 371, 365]], atol=0.01)

    def test_takes_paths_and_pil_images_upright(self, restorer, blurred, tmp_path):
        expected = restorer(blurred, scale=1).image
        image = Image.fromarray(np.ascontiguousarray(np.rot90(blurred, -1)))
        exif = Image.Exif()
        exif[0x0112] = 8  # to be shown turned a quarter to the left
        image.save(tmp_path / "a b.png", exif=exif)
        np.testing.assert_array_equal(restorer(tmp_path / "a b.png", scale=1).image, expected)
        np.testing.assert_array_equal(restorer(Image.fromarray(blurred), scale=1).image, expected)

    def test_a_photo_without_a_face_is_enlarged(self):
        restorer = Restorer(Nearest(), detector=Known())
        picture = noise(20, 30, 3)
        photo = restorer(picture)
        assert photo.faces == [] and photo.boxes.shape == (0, 4)
        np.testing.assert_array_equal(photo.image, lanczos(picture, 2))

    def test_faces_of_several_photos_share_a_batch(self, restorer, blurred, monkeypatch):
        sizes, run = [], restorer._run
        monkeypatch.setattr(restorer, "_run", lambda lr: sizes.append(len(lr)) or run(lr))
        photos = [np.roll(blurred, shift, axis=1) for shift in (0, 5, 9)]
        together = restorer.photos(photos, PhotoSettings(scale=1))
        assert sizes == [3]
        for photo, result in zip(photos, together, strict=True):
            np.testing.assert_array_equal(result.image, restorer(photo, scale=1).image)

    def test_threads_do_not_disturb_each_other(self, blurred):
        restorer = Restorer(Nearest(), precision="fp32", detector=photo_detector(60))
        photos = [cv2.resize(blurred, (side, side)) for side in (400, 256, 330, 512)]
        alone = [restorer(photo, scale=1) for photo in photos]
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda photo: restorer(photo, scale=1), photos * 2))
        assert any(len(result.faces) for result in alone)
        for expected, result in zip(alone * 2, results, strict=True):
            np.testing.assert_array_equal(result.image, expected.image)


class TestFiles:
    def test_alpha_profile_and_metadata_are_kept(self, tmp_path):
        pixels = noise(20, 30, 4) | np.uint8([0, 0, 0, 1])  # nothing is hidden
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        exif = Image.Exif()
        exif[0x010E], exif[0x0112] = "described", 6  # shown turned a quarter to the right
        path, out = tmp_path / "a.png", tmp_path / "b.png"
        details = {"icc_profile": profile, "exif": exif, "dpi": (300, 300)}
        Image.fromarray(pixels).save(path, **details)
        photo = read_photo(path)
        upright = np.rot90(pixels, -1)
        np.testing.assert_array_equal(photo.image, upright[..., :3])
        write_photo(out, photo.image, photo)
        with Image.open(out) as image:
            assert image.info["icc_profile"] == profile
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
            assert image.getexif()[0x010E] == "described"
            assert image.getexif().get(0x0112, 1) == 1
            np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(image)), upright)

    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
    def test_enlarged_with_what_it_carries(self, tmp_path, suffix):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA002] = 30
        Image.new("RGB", (30, 20), (200, 100, 50)).save(tmp_path / "a.jpg", exif=exif)
        photo = read_photo(tmp_path / "a.jpg")
        write_photo(tmp_path / f"b{suffix}", lanczos(photo.image, 2), photo)
        with Image.open(tmp_path / f"b{suffix}") as image:
            assert image.size == (60, 40)
            assert image.getexif().get_ifd(0x8769)[0xA002] == 60
            assert error(np.asarray(image), photo.image[0, 0]) < 2

    def test_webp_without_resolution_says_so(self, tmp_path):
        Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", dpi=(300, 300))
        photo = read_photo(tmp_path / "a.jpg")
        assert write_photo(tmp_path / "b.webp", photo.image, photo) == [
            "written without its resolution, which webp cannot hold"
        ]
        assert write_photo(tmp_path / "b.png", photo.image, photo) == []

    @pytest.mark.parametrize("suffix", [".png", ".jpg"])
    def test_of_a_tiff_the_layout_is_not_taken_for_metadata(self, tmp_path, suffix):
        Image.new("RGB", (30, 20)).save(tmp_path / "a.tif", tiffinfo={270: "described"})
        photo = read_photo(tmp_path / "a.tif")
        write_photo(tmp_path / f"b{suffix}", photo.image, photo)
        with Image.open(tmp_path / f"b{suffix}") as image:
            assert dict(image.getexif()) == {270: "described"}

    @pytest.mark.parametrize(
        "exif", [b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12" * 40]
    )
    def test_damaged_exif_costs_only_itself(self, tmp_path, exif):
        Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
        photo = read_photo(tmp_path / "a.jpg")
        write_photo(tmp_path / "b.jpg", photo.image, photo)
        assert Image.open(tmp_path / "b.jpg").size == (30, 20)

    def test_alpha_is_enlarged_and_jpeg_lays_the_photo_over_white(self, tmp_path):
        clear = np.zeros((20, 30), np.uint8)
        photo = Photo(np.zeros((20, 30, 3), np.uint8), clear)
        write_photo(tmp_path / "a.webp", lanczos(photo.image, 2), photo)
        write_photo(tmp_path / "a.jpg", lanczos(photo.image, 2), photo)
        assert np.asarray(Image.open(tmp_path / "a.webp"))[..., 3].max() == 0
        assert np.asarray(Image.open(tmp_path / "a.jpg")).min() > 250

    def test_hidden_colours_do_not_shine_through_when_enlarged(self, tmp_path):
        pixels = np.zeros((40, 40, 4), np.uint8)  # black where it is transparent
        pixels[10:30, 10:30] = (220, 180, 160, 255)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        photo = read_photo(tmp_path / "a.png")
        write_photo(tmp_path / "b.png", lanczos(photo.image, 4), photo)
        assert (np.asarray(Image.open(tmp_path / "b.png"))[..., :3] == (220, 180, 160)).all()

    def test_a_profile_of_other_colours_is_not_kept(self, tmp_path):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        Image.new("CMYK", (8, 8)).save(tmp_path / "a.jpg", icc_profile=profile)
        assert "icc_profile" not in read_photo(tmp_path / "a.jpg").metadata

    def test_what_a_format_cannot_hold_is_refused(self, tmp_path):
        wide = np.zeros((1, 20_000, 3), np.uint8)
        with pytest.raises(ImageError, match="at most 16383"):
            write_photo(tmp_path / "a.webp", wide, Photo(wide))
        assert list(tmp_path.iterdir()) == []
