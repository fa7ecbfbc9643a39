"""Photos that are damaged, of rare kinds, or carry what their result cannot hold."""

import os
import struct

import cv2
import numpy as np
import pillow_heif
import pytest
from helpers.fakes import Known, noise
from helpers.photo_runs import restore, rows
from PIL import Image, ImageCms, PngImagePlugin

from faceskd.common.images import read_image
from faceskd.portraits import render_portrait
from faceskd.restore.photo import PhotoSettings
from faceskd.restore.photo_files import Photo, read_photo, write_photo
from faceskd.restore.photos import WholePhotos
from faceskd.restore.stream import AlignedFaces

FRAME = (128, 125, 120)


@pytest.fixture(scope="module")
def portrait():
    return Image.fromarray(cv2.GaussianBlur(render_portrait(3, size=256).image, (0, 0), 3))


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def exif(*entries):
    """EXIF, big endian, of (tag, type, count, value), as damaged as is wanted."""
    directory = struct.pack(">H", len(entries))
    for tag, kind, count, value in sorted(entries):
        directory += struct.pack(">HHL", tag, kind, count) + value.ljust(4, b"\0")
    return b"Exif\0\0MM\0*\0\0\0\x08" + directory + b"\0\0\0\0"


ORIENTATION_6 = (274, 3, 1, struct.pack(">H", 6))
TEXT_AS_RESOLUTION = (282, 2, 3, b"72\0")
RAISED = (
    *(struct.error("x"), MemoryError(), AttributeError("x"), RecursionError(), TypeError("x")),
    *(Image.DecompressionBombError("x"), OverflowError("x"), AssertionError(), KeyError("x")),
)


class TestDamaged:
    def test_an_entry_of_the_exif(self, inbox, tmp_path, portrait):
        """It costs only itself: the photo is upright, the other entries are kept."""
        data = exif(ORIENTATION_6, TEXT_AS_RESOLUTION, (271, 2, 4, b"Cam\0"))
        portrait.transpose(Image.Transpose.ROTATE_90).save(inbox / "a.png", exif=data)
        portrait.save(inbox / "b.png")
        restore(inbox, tmp_path / "out", FRAME)
        table = rows(tmp_path / "out")
        assert table["a.png"]["status"] == table["b.png"]["status"] == "ok"
        assert table["a.png"]["message"] == "damaged EXIF was left out (XResolution)"
        with Image.open(tmp_path / "out/restored_imgs/a.png") as image:
            assert dict(image.getexif()) == {271: "Cam"}
            expected = read_image(tmp_path / "out/restored_imgs/b.png")
            np.testing.assert_array_equal(np.asarray(image), expected)

    @pytest.mark.parametrize("tag", [0x8769, 0x8825])
    @pytest.mark.parametrize("place", [9, 30, 99_999])
    def test_a_directory_of_the_exif(self, tmp_path, portrait, tag, place):
        pointer = (tag, 4, 1, struct.pack(">L", place))
        portrait.save(tmp_path / "a.jpg", exif=exif(ORIENTATION_6, pointer, TEXT_AS_RESOLUTION))
        photo = read_photo(tmp_path / "a.jpg")
        assert "XResolution" in photo.notes[0]
        write_photo(tmp_path / "b.jpg", photo.image, photo)
        np.testing.assert_array_equal(photo.image, read_image(tmp_path / "a.jpg"))
        assert Image.open(tmp_path / "b.jpg").getexif().get(274, 1) == 1

    @pytest.mark.parametrize(
        ("where", "raised"),
        [
            *[("decoder", error) for error in RAISED],
            *[("detector", error) for error in RAISED[:2]],
            *[("writer", error) for error in RAISED[:2]],
        ],
        ids=lambda value: value if isinstance(value, str) else type(value).__name__,
    )
    def test_whatever_is_raised_costs_one_row(
        self, inbox, tmp_path, portrait, monkeypatch, raised, where
    ):
        for name in ("a", "bad", "z"):
            portrait.save(inbox / f"{name}.png")
        damaged = cv2.GaussianBlur(np.asarray(portrait), (0, 0), 9)
        Image.fromarray(damaged).save(inbox / "bad.png")
        is_bad = {"decoder": lambda image: "bad" in str(image.filename),
                  "detector": lambda image: (image == damaged).all()}  # fmt: skip

        def failing(given, chosen):
            def run(first, *rest, **options):
                if chosen(first):
                    raise raised
                return given(first, *rest, **options)

            return run

        task = WholePhotos(Known(FRAME), PhotoSettings())
        if where == "decoder":
            load = PngImagePlugin.PngImageFile.load
            monkeypatch.setattr(
                PngImagePlugin.PngImageFile, "load", failing(load, is_bad["decoder"])
            )
        elif where == "detector":
            task._detector.detect = failing(task._detector.detect, is_bad["detector"])
        else:
            task.write = failing(task.write, lambda read: read.input_file.name == "bad")
        restore(inbox, tmp_path / "out", task=task)
        statuses = {source: row["status"] for source, row in rows(tmp_path / "out").items()}
        expected = "unreadable" if where == "decoder" else "failed"
        assert statuses == {"a.png": "ok", "bad.png": expected, "z.png": "ok"}
        message = rows(tmp_path / "out")["bad.png"]["message"]
        own = ("not enough memory", "too many pixels")  # for these errors there are messages
        assert type(raised).__name__ in message or any(words in message for words in own)

    def test_a_group_that_the_network_cannot_restore_is_tried_one_by_one(
        self, inbox, tmp_path, portrait, monkeypatch
    ):
        for name in ("a", "b", "c"):
            portrait.rotate(1 if name == "b" else 0).save(inbox / f"{name}.png")
        from faceskd.restore.restorer import Restorer

        run = Restorer.restore_faces
        bad = read_photo(inbox / "b.png").image

        def fails(self, faces):
            from faceskd.faces.lr_faces import to_lr

            faces = list(faces)
            if len(faces) > 1 or (faces[0] == to_lr(bad)).all():
                raise MemoryError
            return run(self, faces)

        monkeypatch.setattr(Restorer, "restore_faces", fails)
        restore(inbox, tmp_path / "out", task=AlignedFaces())
        statuses = [row["status"] for row in rows(tmp_path / "out").values()]
        assert statuses == ["ok", "failed", "ok"]


class TestMetadata:
    def save(self, path, portrait, part):
        info = PngImagePlugin.PngInfo()
        options = {}
        if part == "XMP":
            info.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>" + "h" * 90_000 + "</x:xmpmeta>")
        elif part == "EXIF":
            data = Image.Exif()
            data[270] = "d" * 90_000
            options["exif"] = data
        portrait.save(path, pnginfo=info, **options)

    @pytest.mark.parametrize("part", ["XMP", "EXIF"])
    def test_what_does_not_fit_is_left_out_and_said(self, inbox, tmp_path, portrait, part):
        self.save(inbox / "a.png", portrait, part)
        restore(inbox, tmp_path / "out", FRAME, ext="jpg")
        (row,) = rows(tmp_path / "out").values()
        assert row["status"] == "ok"
        assert row["message"] == f"written without its {part}, which jpg cannot hold"
        assert Image.open(tmp_path / "out" / row["image"]).size == (512, 512)

    @pytest.mark.parametrize("part", ["XMP", "EXIF"])
    def test_where_it_fits_it_is_kept(self, inbox, tmp_path, portrait, part):
        self.save(inbox / "a.png", portrait, part)
        restore(inbox, tmp_path / "out", FRAME)
        (row,) = rows(tmp_path / "out").values()
        assert row["message"] == ""
        with Image.open(tmp_path / "out" / row["image"]) as image:
            kept = image.info.get("xmp", b"") if part == "XMP" else image.getexif()[270]
        assert len(kept) >= 90_000

    def test_a_profile_too_large_for_jpeg_and_a_resolution_without_sense(self, tmp_path, portrait):
        profile = b"\0" * 16 + b"RGB " + b"\1" * 17_000_000
        pixels = np.asarray(portrait)
        photo = Photo(pixels, None, {"icc_profile": profile, "dpi": (1e12, float("nan"))})
        (note,) = write_photo(tmp_path / "a.jpg", pixels, photo)
        left_out = "its colour profile and its resolution"
        assert note == f"written without {left_out}, which jpg cannot hold"
        assert Image.open(tmp_path / "a.jpg").size == (256, 256)

    def test_the_orientation_in_xmp_is_taken_out(self, tmp_path, portrait):
        xmp = b'<x tiff:Orientation="6"/><tiff:Orientation>6</tiff:Orientation>'
        portrait.save(tmp_path / "a.jpg", xmp=xmp)
        photo = read_photo(tmp_path / "a.jpg")
        assert photo.metadata["xmp"] == b"<x />"
        turned = read_image(tmp_path / "a.jpg")
        np.testing.assert_array_equal(photo.image, turned)
        assert np.abs(turned.astype(int) - np.rot90(np.asarray(portrait), -1)).mean() < 3


class TestKinds:
    def test_every_file_has_a_row(self, inbox, tmp_path, portrait):
        pillow_heif.from_pillow(portrait).save(inbox / "phone.heic")
        for name in ("a.png", "b.avif", "c.jpe", "d.mpo", "e"):
            portrait.save(inbox / name, format=None if name[0] in "ab" else "JPEG")
        (tmp_path / "album").mkdir()
        portrait.save(tmp_path / "album/f.jpg")
        (inbox / "album").symlink_to("../album")
        (inbox / "broken.heic").write_bytes(b"\0\0\0\x18ftypheic")
        (inbox / "broken.mp4").write_bytes(b"no video")
        for name in ("notes.txt", "raw.nef", "drawing.svg", "Thumbs.db"):
            (inbox / name).write_text("text")
        restore(inbox, tmp_path / "out", FRAME)
        statuses = {source: row["status"] for source, row in rows(tmp_path / "out").items()}
        good = ("a.png", "b.avif", "c.jpe", "d.mpo", "e", "phone.heic", "album/f.jpg")
        assert statuses == dict.fromkeys(good, "ok") | {
            "broken.heic": "unreadable",
            "broken.mp4": "unreadable",
            "raw.nef": "unreadable",
            "drawing.svg": "unreadable",
            "notes.txt": "unsupported",
        }
        for name in ("a.png", "phone.png", "c.jpg", "album/f.jpg"):
            assert Image.open(tmp_path / "out/restored_imgs" / name).size == (512, 512)

    def test_every_page_of_a_document_is_restored(self, inbox, tmp_path, portrait):
        pages = [portrait, portrait.rotate(5), portrait.rotate(9)]
        pages[0].save(inbox / "a.tif", save_all=True, append_images=pages[1:])
        restore(inbox, tmp_path / "out", FRAME, scale=1)
        table = rows(tmp_path / "out")
        assert list(table) == ["a.tif#1", "a.tif#2", "a.tif#3"]
        for number, page in enumerate(pages, 1):
            restored = read_image(tmp_path / f"out/restored_imgs/a_p{number}.png").astype(int)
            assert np.abs(restored - np.asarray(page)).mean() < 2
            assert (tmp_path / f"out/restored_faces/a_p{number}_00.png").is_file()

    @pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".avif"])
    def test_of_an_animation_the_first_frame_is_restored_and_it_is_said(
        self, inbox, tmp_path, portrait, suffix
    ):
        frames = [portrait.rotate(angle) for angle in (0, 40, 80)]
        frames[0].save(inbox / f"a{suffix}", save_all=True, append_images=frames[1:])
        restore(inbox, tmp_path / "out", FRAME)
        (row,) = rows(tmp_path / "out").values()
        assert row["status"] == "ok"
        assert row["message"] == "only the first of the 3 pictures in the file was read"

    def test_names_that_are_no_text(self, inbox, tmp_path, portrait):
        portrait.save(inbox / os.fsdecode(b"m\xfcller.png"))
        portrait.save(inbox / "good.png")
        restore(inbox, tmp_path / "out", FRAME)
        row = rows(tmp_path / "out")["m%FCller.png"]
        assert row["status"] == "ok"
        assert (tmp_path / "out" / row["image"]).is_file()
        assert (tmp_path / "out" / row["output"]).is_file()

    def test_names_that_are_too_long(self, inbox, tmp_path, portrait):
        for index in range(2):
            portrait.rotate(index).save(inbox / f"{'ü' * 120}{index}.png")
        restore(inbox, tmp_path / "out", FRAME)
        table = rows(tmp_path / "out").values()
        assert len({row["image"] for row in table}) == 2
        assert all((tmp_path / "out" / row["output"]).is_file() for row in table)

    def test_a_float_image_with_a_highlight(self, inbox, tmp_path, portrait):
        grey = np.asarray(portrait.convert("L"), np.float32) / 255
        Image.fromarray(grey / grey.max() * 1.02).save(inbox / "a.tif")
        restore(inbox, tmp_path / "out", FRAME, scale=1)
        (row,) = rows(tmp_path / "out").values()
        assert row["message"] == "32 bits a channel were reduced to 8, 1 as white"
        restored = read_image(tmp_path / "out" / row["image"])[..., 0].astype(int)
        assert np.abs(restored - 255 * grey / grey.max()).mean() < 4


class TestGrey:
    """The network here paints faces red; grey photos must not show it."""

    @pytest.fixture(autouse=True)
    def _red(self, monkeypatch):
        from helpers import fakes

        given = fakes.Nearest.forward_features

        def red(self, lr, boxes=None):
            sr, features = given(self, lr, boxes)
            sharp = sr + 0.2 * torch.randn(sr.shape, generator=torch.manual_seed(0))
            return sharp * torch.tensor([1, 0.5, 0.3])[:, None, None], features

        import torch

        monkeypatch.setattr(fakes.Nearest, "forward_features", red)

    @pytest.mark.parametrize("mode", ["L", "LA", "1", "RGB", "P", "I;16"])
    @pytest.mark.parametrize("task", ["photo", "aligned"])
    def test_grey_stays_grey(self, inbox, tmp_path, portrait, mode, task):
        grey = portrait.convert("L")
        if mode == "I;16":
            image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
        else:
            image = grey.convert(mode)
        image.save(inbox / "a.png")
        restore(inbox, tmp_path / "out", FRAME, task=AlignedFaces() if task == "aligned" else None)
        (row,) = rows(tmp_path / "out").values()
        assert row["output"]
        with Image.open(tmp_path / "out" / (row["image"] or row["output"])) as result:
            expected = {"1": "L", "I;16": "L", "P": "RGB"}.get(mode, mode)
            assert result.mode == (expected if task == "photo" else expected.replace("LA", "L"))
        for path in (tmp_path / "out").rglob("*.png"):
            pixels = read_image(path).astype(int)
            assert np.ptp(pixels, axis=2).max() == 0, path

    def test_colour_stays_colour(self, inbox, tmp_path, portrait):
        portrait.save(inbox / "a.png")
        restore(inbox, tmp_path / "out", FRAME)
        faces = tmp_path / "out/restored_faces/a_00.png"
        assert np.ptp(read_image(faces).astype(int), axis=2).max() > 50

    @pytest.mark.parametrize("suffix", [".png", ".jpg"])
    def test_a_grey_profile_is_kept(self, inbox, tmp_path, portrait, suffix):
        profile = b"\0" * 16 + b"GRAY" + b"\1" * 100
        portrait.convert("L").save(inbox / f"a{suffix}", icc_profile=profile)
        restore(inbox, tmp_path / "out", FRAME)
        (row,) = rows(tmp_path / "out").values()
        assert row["message"] == ""
        with Image.open(tmp_path / "out" / row["image"]) as result:
            assert (result.mode, result.info["icc_profile"]) == ("L", profile)

    def test_a_profile_that_does_not_belong_is_said(self, inbox, tmp_path, portrait):
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        portrait.convert("L").save(inbox / "a.png", icc_profile=profile)
        restore(inbox, tmp_path / "out", FRAME)
        (row,) = rows(tmp_path / "out").values()
        assert row["message"] == "the colour profile is of other colours and was left out"
        (inbox / "a.png").unlink()
        portrait.convert("CMYK").save(inbox / "b.jpg")
        restore(inbox, tmp_path / "out", FRAME)
        assert rows(tmp_path / "out")["b.jpg"]["message"] == "CMYK colours were converted to RGB"


def test_a_grey_profile_does_not_fit_into_webp(tmp_path):
    profile = b"\0" * 16 + b"GRAY" + b"\1" * 100
    image = np.repeat(noise(20, 30, 1), 3, axis=2)
    photo = Photo(image, None, {"icc_profile": profile}, grey=True)
    (note,) = write_photo(tmp_path / "a.webp", image, photo)
    assert note == "written without its colour profile, which webp cannot hold"
