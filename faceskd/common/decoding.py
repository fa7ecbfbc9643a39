"""Open and decode image files with Pillow, and list what is lost when they are read.

`faceskd.common.images` converts them to arrays.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from faceskd.common.depth import (
    bits_of,
    check_pixels,
    full_scale,
    is_deep,
    is_misread,
    read_tiff,
    tiff_page_count,
)
from faceskd.common.errors import ImageError, TooLargeError, reason

MAX_PIXELS = 150_000_000  # 100-megapixel photographs pass; decompression bombs do not

FORMATS = (
    *("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PSD", "QOI"),
    *("PPM", "DIB", "ICO", "ICNS", "CUR", "DDS", "SGI", "SUN", "PCX", "DCX", "XBM", "XPM"),
    *("FLI", "BLP", "FITS", "TGA"),
)
"""Formats that Pillow may decode; those that are recognised by their first bytes come first.

Formats that start other programs (EPS) or contain no pixels (HDF5) are left out.
"""

MARKED = 11
"""Number of formats at the start of `FORMATS` that are recognised by their first bytes."""

ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF", "HEIF", "MPO", "TIFF", "DCX", "FLI"})
"""Formats in which frames are pictures of their own. In others, frames are layers or sizes."""

PAGED_SUFFIXES = frozenset({".tif", ".tiff", ".dcx"})
"""Suffixes of documents; each of their pages is a picture of its own (`page_count`)."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> operation that makes the image upright."""


@contextmanager
def open_image(
    path: Path | str, page: int = 0, max_pixels: int | None = None
) -> Iterator[Image.Image]:
    """Open and decode an image file with Pillow, for use in a `with` block.

    Any exception of a decoder or of the block becomes an `ImageError`, even if memory is full.

    Args:
        path: image file.
        page: number of the page or frame, from 0.
        max_pixels: limit of width x height, checked before the pixels are read; None: `MAX_PIXELS`.

    Raises:
        ImageError: the file is missing, empty, not an image, or truncated.
        TooLargeError: it has more pixels.
    """
    path = Path(path)
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    try:
        if not path.is_file():
            raise ImageError(f"{path.name}: no such file")
        if path.stat().st_size == 0:
            raise ImageError(f"{path.name}: the file is empty")
        with _quietly(), identified(path, page, max_pixels) as image:
            check_pixels(path, *image.size, max_pixels)
            if "bits" not in image.info:
                image.seek(page)
                image.info["bits"] = bits_of(image, path)
            image.load()
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path.name}: not an image that can be read") from error
    except Image.DecompressionBombError as error:  # Pillow's own limit
        raise TooLargeError(
            f"{path.name}: too many pixels, expected at most {max_pixels:,} in all"
        ) from error
    except MemoryError as error:
        raise ImageError(f"{path.name}: not enough memory to read it") from error
    except Exception as error:  # decoders raise many kinds: struct.error, AttributeError, ...
        raise ImageError(f"{path.name}: damaged or truncated image ({reason(error)})") from error


def identified(path: Path, page: int = 0, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Open a file with Pillow without decoding it. TIFFs that Pillow cannot read use tifffile."""
    try:
        image = Image.open(path, formats=_formats())
    except UnidentifiedImageError:
        read = read_tiff(path, page, max_pixels)
        if read is None:
            raise
        return read
    return (is_misread(image) and read_tiff(path, page, max_pixels)) or image


@cache
def _formats() -> tuple[str, ...]:
    import pi_heif  # for photos of phones; importing it takes as long as importing Pillow

    pi_heif.register_heif_opener()
    return FORMATS


def page_count(path: Path | str) -> int:
    """Number of pages of a document (TIFF, DCX); 1 for all other files and for damaged ones.

    Frames of an animation and views of a stereo photo are not pages; see `notes`.
    """
    path = Path(path)
    try:
        if path.suffix.lower() not in PAGED_SUFFIXES:
            return 1
        try:
            with _quietly(), Image.open(path, formats=("TIFF", "DCX")) as image:
                return int(getattr(image, "n_frames", 1))
        except UnidentifiedImageError:
            return tiff_page_count(path)
    except Exception:  # reading the file later reports the error
        return 1


def notes(image: Image.Image) -> list[str]:
    """What is lost when an image from `open_image` is read as 8-bit RGB, as messages for the user.

    Other pages of a document are not mentioned, because they are read separately (`page_count`).
    """
    return [*_frames_note(image), *_depth_note(image), *_colour_note(image)]


def _frames_note(image: Image.Image) -> list[str]:
    if image.format not in ANIMATED - {"TIFF", "DCX"}:
        return []
    try:
        count = int(getattr(image, "n_frames", 1))
    except Exception as error:  # counting frames reads the whole file
        return [f"frames after the first are damaged ({reason(error)})"]
    return [f"only the first of the {count} pictures in the file was read"] if count > 1 else []


def _depth_note(image: Image.Image) -> list[str]:
    bits = image.info.get("bits", 8)
    if bits <= 8:
        return []
    white = image.info.get("full_scale") or (full_scale(image) if is_deep(image) else 0)
    scale = f", {white:g} as white" if white not in (0, 65_535) else ""
    return [f"{bits} bits a channel were reduced to 8{scale}"]


def _colour_note(image: Image.Image) -> list[str]:
    if image.mode in ("CMYK", "LAB"):
        return [f"{image.mode} colours were converted to RGB"]
    return []


def is_image(path: Path) -> bool:
    """Whether the first bytes of a file are those of a common image format."""
    try:
        with _quietly(), Image.open(path, formats=_formats()[:MARKED]):
            return True
    except Exception:
        return False


def upright(image: Image.Image) -> Image.Image:
    """The image, rotated and mirrored according to its EXIF orientation.

    Pillow's `exif_transpose` also rewrites the EXIF data, which fails if any entry is damaged.
    """
    method = UPRIGHT.get(orientation(image))
    return image if method is None else image.transpose(method)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 if there is none or the EXIF is damaged."""
    exif = exif_of(image)
    try:
        value = exif.get(Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and value in UPRIGHT else 1


def exif_of(image: Image.Image) -> Image.Exif:
    """The EXIF data of an image as far as it can be read; empty if there is none."""
    try:
        return image.getexif()
    except Exception:
        return image.getexif()  # the second call returns what was read before the failure


def has_alpha(image: Image.Image) -> bool:
    """Whether an image has an alpha channel or a transparent colour."""
    return "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info


def to_rgba(image: Image.Image) -> Image.Image:
    """Convert an image with alpha to RGBA. Pillow cannot convert mode La (grey) directly."""
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide Pillow's warnings about large images (`MAX_PIXELS` is the limit here) and about EXIF."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
