"""Images with more than 8 bits per channel: find the number of bits, and convert them to 8 bits.

Pillow converts 16-bit colour to 8 bits by itself. It cannot read TIFFs of half, double or
three-channel float values, and reads TIFFs with separate 16-bit planes wrongly. tifffile reads
those here.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from faceskd.common.errors import ImageError, TooLargeError

HEADER_BYTES = 4096
"""Number of bytes at the start of AVIF and JPEG 2000 files that contain the number of bits."""

UNIT_HEADROOM, INTEGER_HEADROOM = 4, 1.25
"""Largest accepted ratio of bright values to a full scale of 1, and of 255 or 65535. Above it, the
next full scale is assumed. Highlights of float images exceed 1, and resampling overshoots."""

SAMPLES = 1_000_000
"""Number of values from which the full scale is found."""

MOST_BYTES = 1_200_000_000
"""Bytes of the values of an image, as of 150 megapixels of 16-bit RGBA."""

STRIP = 2**20
"""Number of values that are scaled at once."""

SAMPLE_FORMAT, PHOTOMETRIC, WHITE_IS_ZERO, PLANES = 339, 262, 0, 284
DESCRIPTIVE_TAGS = (270, 271, 272, 274, 305, 306, 315, 33432)
"""Description, camera, orientation, software, time, artist and copyright."""


def bits_of(image: Image.Image, path: Path) -> int:
    """Bits per channel of an image that Pillow has opened, but not decoded; at least 8."""
    given = image.info.get("bit_depth")  # HEIF
    if isinstance(given, int):
        return max(given, 8)
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        return max(8, *map(int, tags.get(258, (8,))))
    tiles = getattr(image, "tile", None)
    raw = str(tiles[0].args) if tiles else ""
    if found := re.search(r";(\d\d)|, (\d{3,5})\)$", raw):  # "RGB;16B"; PPM's largest value
        return int(found[1]) if found[1] else max(int(found[2]).bit_length(), 8)
    return _bits_of_header(image.format, path)


def _bits_of_header(kind: str | None, path: Path) -> int:
    if kind not in ("AVIF", "JPEG2000"):
        return 8
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    if kind == "AVIF":  # AV1CodecConfigurationBox: flags of 10 and of 12 bits in its third byte
        flags = head[head.find(b"av1C") + 6] if b"av1C" in head else 0
        return (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    start = head.find(b"\xff\x4f\xff\x51")  # SIZ marker; the depth of its first component less 1
    return max((head[start + 42] & 0x7F) + 1, 8) if start >= 0 else 8


def is_deep(image: Image.Image) -> bool:
    """Whether a PIL image has values of more than 8 bits: modes I, I;16, F and similar."""
    return image.mode.startswith(("I", "F"))


def to_8_bit(image: Image.Image) -> Image.Image:
    """Convert a deep PIL image to mode L: `full_scale` becomes 255, and values are clipped."""
    values = _values(image)
    return Image.fromarray(_scaled(values, full_scale(image)))


def full_scale(image: Image.Image) -> float:
    """The value of a deep image that means white.

    For 16-bit integers it is 65535 (32767 if they are signed). For other types it is not known. For
    floats it may be 1, 255 or 65535; for integers 255, 65535 or the largest value of the type. The
    result is the smallest of these that 95 % of the values do not exceed by much, so that a few
    highlights do not make the picture dark.
    """
    values = _values(image)
    if image.mode.startswith("I;16") or image.info.get("bits") == 16:
        return 32_767.0 if _is_signed(image) else 65_535.0
    return _full_scale(values)


def read_tiff(path: Path, page: int, max_pixels: int) -> Image.Image | None:
    """A page of a TIFF of any depth as an 8-bit image (mode L, RGB or RGBA); None if it is no TIFF.

    `info` contains the `bits` per channel and the `full_scale` that became 255.

    Raises:
        TooLargeError: the page has more than `max_pixels`.
        ImageError: its values have more than `MOST_BYTES`.
        Exception: many kinds, if the file is damaged.
    """
    import tifffile  # importing takes as long as importing Pillow, and few files need it

    try:
        file = tifffile.TiffFile(path)
    except tifffile.TiffFileError:
        return None
    with file:
        found = file.pages[page].aspage()
        height, width = found.imagelength, found.imagewidth
        check_pixels(path, width, height, max_pixels)
        if found.nbytes > MOST_BYTES:
            raise ImageError(
                f"{path.name}: {found.nbytes:,} bytes of pixels, expected at most {MOST_BYTES:,}"
            )
        values = found.asarray()
        if found.axes.startswith("S"):  # channels in planes
            values = np.moveaxis(values, 0, -1)
    full = _full_scale(values)
    if values.ndim == 3 and values.shape[2] not in (3, 4):
        values = values[..., 0]
    image = Image.fromarray(_scaled(values, full))
    image.info |= {"bits": 8 * values.dtype.itemsize, "full_scale": full}
    _carry(found, image)
    return image


def check_pixels(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Raise a TooLargeError if an image has more than `max_pixels`."""
    if width * height > max_pixels:
        raise TooLargeError(
            f"{path.name}: {width}x{height} pixels, expected at most {max_pixels:,} in all"
        )


def is_misread(image: Image.Image) -> bool:
    """Whether Pillow would read a TIFF wrongly: it reads separate 16-bit planes as 8-bit planes."""
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(PLANES) == 2 and max(tags.get(258, (8,))) > 8


def _carry(page: Any, image: Image.Image) -> None:
    """Copy metadata of a TIFF page to an image: EXIF tags, colour profile, XMP, resolution."""
    exif = image.getexif()
    for tag in DESCRIPTIVE_TAGS:
        if tag in page.tags:
            exif[tag] = page.tags[tag].value
    for tag, name in ((34675, "icc_profile"), (700, "xmp")):
        if tag in page.tags:
            image.info[name] = bytes(page.tags[tag].value)
    if 282 in page.tags and 283 in page.tags:
        image.info["dpi"] = tuple(page.get_resolution(2))  # 2: inches


def tiff_page_count(path: Path) -> int:
    """Number of pages of a TIFF, read with tifffile."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        return len(file.pages)


def _values(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    tags: Any = getattr(image, "tag_v2", None)
    if tags is not None:
        if values.dtype == np.int32 and image.info.get("bits") == 32 and not _is_signed(image):
            values = values.view(np.uint32)  # Pillow reads unsigned values as signed ones
        if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO and values.dtype == np.uint16:
            values = 65_535 - values
    return values


def _is_signed(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", None)
    return tags is not None and tags.get(SAMPLE_FORMAT, (1,))[0] == 2


def _full_scale(values: np.ndarray) -> float:
    if values.dtype.itemsize < 4 and values.dtype.kind in "iu":
        return float(np.iinfo(values.dtype).max)
    flat = values.flat[:: max(values.size // SAMPLES, 1)]
    finite = flat[np.isfinite(flat)]
    high = float(np.percentile(finite, 95)) if finite.size else 0.0
    is_float = values.dtype.kind == "f"
    if is_float and high <= UNIT_HEADROOM:
        return 1.0
    largest = 2.0**32 - 1 if is_float else float(np.iinfo(values.dtype).max)
    return next((full for full in (255.0, 65_535.0) if high <= INTEGER_HEADROOM * full), largest)


def _scaled(values: np.ndarray, full: float) -> np.ndarray:
    scaled = np.empty(values.shape, np.uint8)
    rows = max(STRIP // max(values[0].size, 1), 1)
    for start in range(0, len(values), rows):  # as float64, the whole image may not fit into memory
        strip = values[start : start + rows].astype(np.float64) * (255 / full)
        scaled[start : start + rows] = np.clip(np.nan_to_num(strip).round(), 0, 255)
    return scaled
