"""Odd and broken pictures: all are read alike, or fail with a sentence."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from faceskd.common.errors import FaceskdError, ImageError
from faceskd.common.images import read_image, to_tensor, to_uint8, write_image
from faceskd.common.listing import list_images

COLOUR = (200, 100, 50)


def saved(path, image, **options):
    image.save(path, **options)
    return read_image(path)


def test_a_plain_picture(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


def test_cmyk_is_converted(tmp_path):
    image = saved(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=100)
    assert image.shape == (16, 16, 3)
    assert image[..., 0].min() > 200 and image[..., 1:].max() < 60


def test_a_palette_is_converted(tmp_path):
    image = saved(tmp_path / "a.gif", Image.new("RGB", (5, 4), COLOUR).quantize(4))
    assert image.shape == (4, 5, 3)
    assert np.abs(image.astype(int) - COLOUR).max() < 8


@pytest.mark.parametrize(("value", "expected"), [(65535, 255), (32896, 128), (0, 0)])
def test_16_bit_grey_is_scaled(tmp_path, value, expected):
    deep = Image.fromarray(np.full((4, 4), value, np.uint16))
    np.testing.assert_array_equal(saved(tmp_path / "a.png", deep), expected)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_keeps_a_dark_picture_dark(tmp_path, suffix):
    """A picture is not brightened because its brightest value happens to be low."""
    deep = Image.fromarray(np.full((4, 4), 200, np.uint16))
    np.testing.assert_array_equal(saved(tmp_path / f"a{suffix}", deep), 1)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "P"])
def test_every_mode_gives_rgb(tmp_path, mode):
    image = saved(tmp_path / "a.png", Image.new("RGBA", (6, 5), (*COLOUR, 255)).convert(mode))
    assert image.shape == (5, 6, 3) and image.dtype == np.uint8


def test_transparency_lies_over_white(tmp_path):
    image = saved(tmp_path / "a.png", Image.new("RGBA", (3, 3), (0, 0, 0, 0)))
    np.testing.assert_array_equal(image, 255)


def test_exif_rotation_is_applied(tmp_path):
    picture = Image.new("RGB", (8, 4), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 4, 4))  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: left becomes top
    image = saved(tmp_path / "a.png", picture, exif=exif)
    assert image.shape == (8, 4, 3)
    assert image[:4].min() == 255 and image[4:].max() == 0


def test_one_pixel(tmp_path):
    assert saved(tmp_path / "a.png", Image.new("RGB", (1, 1), COLOUR)).shape == (1, 1, 3)


@pytest.mark.slow
def test_100_megapixels_pass(tmp_path):
    assert saved(tmp_path / "a.png", Image.new("1", (10_000, 10_000))).shape == (10_000, 10_000, 3)


def test_a_decompression_bomb_is_refused(tmp_path):
    Image.new("1", (20_000, 20_000)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"20000x20000|bomb|pixels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".gif", ".bmp"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ImageError, match=r"a\."):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"])
def test_what_is_no_image_is_refused(tmp_path, content):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.jpg"):
        read_image(tmp_path / "a.jpg")


@given(st.binary(max_size=300), st.sampled_from([b"", b"GIF89a", b"BM", b"P6 2 2 255\n", b"II*\0"]))
@settings(deadline=None, max_examples=60)
def test_no_bytes_raise_anything_else(tmp_path_factory, content, head):
    path = tmp_path_factory.mktemp("bytes") / "a.png"
    path.write_bytes(head + content)
    try:
        assert read_image(path).shape[-1] == 3
    except ImageError as error:
        assert "a.png" in str(error)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ImageError, match="no such file"):
        read_image(tmp_path / "a.png")
    with pytest.raises(FaceskdError, match="not a folder"):
        list_images(tmp_path / "none")
    with pytest.raises(FaceskdError, match="no image"):
        list_images(tmp_path)


def test_names_of_all_kinds_are_listed_and_hidden_ones_are_not(tmp_path):
    names = ["b c.png", "лицо.JPG", "顔/写真.png", "a.tar.png"]
    for name in [*names, ".hidden.png", ".cache/a.png", "notes.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert sorted(found) == sorted(names)


@given(arrays(np.uint8, (2, 3, 4, 3)))
def test_tensor_and_back(image):
    tensor = to_tensor(image)
    assert tensor.shape == (2, 3, 3, 4) and tensor.dtype == torch.float32
    np.testing.assert_array_equal(to_uint8(tensor), image)


def test_to_uint8_rounds_and_clamps():
    values = torch.tensor([-1.0, 0.499 / 255, 0.501 / 255, 2.0]).expand(3, 1, 4)
    assert to_uint8(values)[0, :, 0].tolist() == [0, 0, 1, 255]
