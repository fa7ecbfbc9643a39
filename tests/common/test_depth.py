"""Deep images, 16-bit and float: white stays white, and what 8 bits lose is said."""

import cv2
import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image

from faceskd.common.decoding import notes, open_image, page_count
from faceskd.common.errors import ImageError, TooLargeError
from faceskd.common.images import read_image

RAMP = np.linspace(0, 1, 64, dtype=np.float64).reshape(8, 8)
EXPECTED = np.rint(RAMP * 255)


def loss(path):
    with open_image(path) as image:
        return "; ".join(notes(image))


def of_tiff(path, values, **options):
    tifffile.imwrite(path / "a.tif", values, **options)
    return read_image(path / "a.tif").astype(int)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("white", [1, 255, 65535])
def test_floats_of_every_size_and_range(tmp_path, kind, white):
    if white > float(np.finfo(kind).max):
        pytest.skip("half floats end at 65504")
    image = of_tiff(tmp_path, (RAMP * white).astype(kind))
    assert np.abs(image - EXPECTED[..., None]).max() <= 1
    told = "" if white == 65535 else f", {white:g} as white"
    assert loss(tmp_path / "a.tif").endswith(f"bits a channel were reduced to 8{told}")


@pytest.mark.parametrize(("white", "highlight"), [(1, 1.02), (1, 40), (255, 262), (65535, 70000)])
def test_highlights_are_clipped_and_do_not_darken_the_rest(tmp_path, white, highlight):
    values = (RAMP * white).astype(np.float32)
    values[0, 0], values[0, 1] = highlight, -0.5 * white
    expected = EXPECTED.copy()
    expected[0, 0], expected[0, 1] = 255, 0
    assert np.abs(of_tiff(tmp_path, values) - expected[..., None]).max() <= 1


def test_a_burnt_out_float_image_is_white(tmp_path):
    assert (of_tiff(tmp_path, np.full((8, 8), 1.02, np.float32)) == 255).all()


def test_what_is_no_number_is_black(tmp_path):
    values = RAMP.astype(np.float32)
    values[0, :2] = np.nan, -np.inf
    values[7, 0] = np.inf
    image = of_tiff(tmp_path, values)
    assert image[0, :2].max() == 0 and image[7, 0].min() == 255
    assert np.abs(image[1:7] - EXPECTED[1:7, :, None]).max() <= 1


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint16])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_deep_colour(tmp_path, kind, planes, compression):
    colour = np.stack([RAMP, RAMP[::-1], RAMP.T], -1)
    white = 65535 if kind == np.uint16 else 1
    values = (colour * white).astype(kind)
    laid = np.ascontiguousarray(np.moveaxis(values, -1, 0)) if planes == "separate" else values
    options = {
        "planarconfig": planes,
        "compression": compression,
        "predictor": compression is not None,
    }
    image = of_tiff(tmp_path, laid, photometric="rgb", **options)
    assert np.abs(image - np.rint(colour * 255)).max() <= 1
    assert "bits a channel were reduced to 8" in loss(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("kind", "white"),
    [(np.uint16, 65535), (np.int16, 32767), (np.uint32, 255), (np.uint32, 65535),
     (np.int32, 65535), (np.uint32, 2**32 - 1), (np.int32, 2**31 - 1)],
)  # fmt: skip
def test_integers_of_every_size(tmp_path, kind, white):
    image = of_tiff(tmp_path, np.rint(RAMP * white).astype(kind))
    assert np.abs(image - EXPECTED[..., None]).max() <= 1


def test_an_integer_image_slightly_over_255_is_not_taken_for_16_bits(tmp_path):
    values = np.rint(RAMP * 255).astype(np.int32)
    values[0, 0] = 260
    image = of_tiff(tmp_path, values)
    assert image[0, 0].min() == 255
    assert np.abs(image[1:] - EXPECTED[1:, :, None]).max() <= 1


def test_16_bits_with_zero_as_white(tmp_path):
    values = np.rint((1 - RAMP) * 65535).astype(np.uint16)
    image = of_tiff(tmp_path, values, photometric="miniswhite")
    assert np.abs(image - EXPECTED[..., None]).max() <= 1


@pytest.mark.parametrize("name", ["a.png", "grey.png", "alpha.png", "a.ppm", "a.pgm", "a.tif"])
def test_16_bits_are_told_of_every_format(tmp_path, name):
    shape = {"grey.png": (8, 8), "a.pgm": (8, 8), "alpha.png": (8, 8, 4)}.get(name, (8, 8, 3))
    cv2.imwrite(str(tmp_path / name), np.full(shape, 30_000, np.uint16))
    assert "16 bits a channel were reduced to 8" in loss(tmp_path / name)
    assert np.abs(read_image(tmp_path / name).astype(int) - 117).max() <= 1 or name == "alpha.png"


def test_10_bits_of_phones_are_told(tmp_path):
    values = np.full((64, 64, 3), 300, np.uint16)
    cv2.imwrite(str(tmp_path / "a.avif"), values, [cv2.IMWRITE_AVIF_DEPTH, 10])
    deep = pillow_heif.from_bytes("RGB;16", (64, 64), (values << 6).tobytes())
    deep.save(tmp_path / "a.heic")
    for name in ("a.avif", "a.heic"):
        assert "10 bits a channel were reduced to 8" in loss(tmp_path / name)
        assert np.abs(read_image(tmp_path / name).astype(int) - 75).max() <= 2


def test_what_a_tiff_carries_is_kept(tmp_path):
    values = (RAMP[:6] * 65535).astype(np.uint16)
    colour = np.stack([values] * 3)
    tags = [(274, 3, 1, 6, False), (34675, 7, 4, b"icc!", False)]
    options = {"planarconfig": "separate", "photometric": "rgb", "resolution": (300, 300, "inch")}
    image = of_tiff(tmp_path, colour, extratags=tags, description="a ramp", **options)
    assert np.abs(image[..., 0] - np.rot90(EXPECTED[:6], -1)).max() <= 1
    with open_image(tmp_path / "a.tif") as read:
        assert read.getexif()[270] == "a ramp"
        assert (read.info["icc_profile"], read.info["dpi"]) == (b"icc!", (300, 300))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.avif", "a.webp", "a.tif", "a.jp2", "a.ppm"])
def test_of_8_bits_nothing_is_said(tmp_path, name):
    Image.new("RGB", (8, 8), (9, 8, 7)).save(tmp_path / name)
    assert loss(tmp_path / name) == ""


def test_too_many_pixels_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("faceskd.common.decoding.MAX_PIXELS", 50)
    with pytest.raises(ImageError, match="8x8 pixels, expected at most 50"):
        of_tiff(tmp_path, RAMP.astype(np.float16))


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_too_many_bytes_are_refused_before_they_are_read(tmp_path, monkeypatch, planes):
    """A file of a few MB may have pixels of many values."""
    values = np.zeros((100, 8, 8) if planes == "separate" else (8, 8, 100), np.float16)
    options = {"planarconfig": planes, "photometric": "minisblack", "compression": "zlib"}
    tifffile.imwrite(tmp_path / "a.tif", values, **options)
    monkeypatch.setattr("faceskd.common.depth.MOST_BYTES", 8000)
    with (
        pytest.raises(ImageError, match=r"12,800 bytes of pixels, expected at most 8,000") as error,
        open_image(tmp_path / "a.tif", max_pixels=1000),
    ):
        pass
    assert not isinstance(error.value, TooLargeError)


def test_large_images_are_scaled_in_strips_as_small_ones(tmp_path, monkeypatch):
    values = (np.stack([RAMP, RAMP[::-1], RAMP.T], -1) * 65535).astype(np.float32)
    whole = of_tiff(tmp_path, values, photometric="rgb")
    monkeypatch.setattr("faceskd.common.depth.STRIP", 60)  # two rows and a half
    assert (of_tiff(tmp_path, values, photometric="rgb") == whole).all()


def test_pages_of_every_depth_are_counted(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([RAMP, RAMP[::-1]]).astype(np.float16))
    assert page_count(tmp_path / "a.tif") == 2
    with open_image(tmp_path / "a.tif", page=1) as image:
        assert np.abs(np.asarray(image).astype(int) - EXPECTED[::-1]).max() <= 1
