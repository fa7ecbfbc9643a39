"""Images in and out: RGB everywhere, uint8 (H, W, 3) on disk, float32 (B, 3, H, W) in [0, 1] here.

Every image that a user hands over is opened by `open_image`, so that odd files (CMYK, palette,
16 bit, float, alpha, EXIF rotation) look the same to all commands, and whatever a decoder raises
for a broken one is an `ImageError`.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base
from torch import Tensor

from faceskd.common.depth import (
    bits_of,
    full_scale,
    is_deep,
    is_misread,
    read_tiff,
    tiff_page_count,
    to_8_bit,
)
from faceskd.common.errors import ImageError, reason
from faceskd.common.files import atomic_path

MAX_PIXELS = 150_000_000  # 100-megapixel photographs pass; decompression bombs do not
WHITE = (255, 255, 255)
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in luminance, ITU-R BT.601

FORMATS = (
    *("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "HEIF", "JPEG2000", "PSD", "QOI"),
    *("PPM", "DIB", "ICO", "ICNS", "CUR", "DDS", "SGI", "SUN", "PCX", "DCX", "XBM", "XPM"),
    *("FLI", "BLP", "FITS", "TGA"),
)
"""What Pillow may decode, those with a clear mark first.

Left out is what runs other programs (EPS) or holds no pixels (HDF5).
"""

MARKED = 11
"""So many of them begin with bytes that nothing else begins with."""

ANIMATED = frozenset({"GIF", "PNG", "WEBP", "AVIF", "HEIF", "MPO", "TIFF", "DCX", "FLI"})
"""Formats in which Pillow's frames are further pictures; in others they are layers or sizes."""

PAGED_SUFFIXES = frozenset({".tif", ".tiff", ".dcx"})
"""Documents, of which every page is a picture of its own (`page_count`)."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by the EXIF orientation that it has."""


def read_image(path: Path | str) -> np.ndarray:
    """Read any image file as RGB, uint8, (H, W, 3), upright.

    EXIF orientation is applied, transparency is laid over white, CMYK and palettes are converted,
    16-bit and float images are scaled to 8 bits (`faceskd.common.depth.to_8_bit`), and of several
    pages or frames the first is taken. `notes` says what was lost so.

    Raises:
        ImageError: the file is missing, empty, not an image, truncated, or over 150 megapixels.
    """
    with open_image(path) as image:
        return from_pil(image)


@contextmanager
def open_image(path: Path | str, page: int = 0) -> Iterator[Image.Image]:
    """An image file as Pillow has it, decoded, for use in a `with` block.

    Whatever a decoder or the block raises, out of memory included, becomes an `ImageError`.

    Args:
        path: the file.
        page: the number of the page or frame, from 0.

    Raises:
        ImageError: as `read_image`.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise ImageError(f"{path.name}: no such file")
        if path.stat().st_size == 0:
            raise ImageError(f"{path.name}: the file is empty")
        with _quietly(), _identified(path, page) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"{path.name}: {width}x{height} pixels, expected at most {MAX_PIXELS:,} in all"
                )
            if "bits" not in image.info:
                image.seek(page)
                image.info["bits"] = bits_of(image, path)
            image.load()
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(f"{path.name}: not an image that can be read") from error
    except MemoryError as error:
        raise ImageError(f"{path.name}: not enough memory to read it") from error
    except Exception as error:  # decoders raise all kinds: struct.error, AttributeError, ...
        raise ImageError(f"{path.name}: damaged or truncated image ({reason(error)})") from error


def _identified(path: Path, page: int) -> Image.Image:
    """A file opened by Pillow, not yet decoded; TIFFs that Pillow does not know by tifffile."""
    try:
        image = Image.open(path, formats=_formats())
    except UnidentifiedImageError:
        read = read_tiff(path, page, MAX_PIXELS)
        if read is None:
            raise
        return read
    return (is_misread(image) and read_tiff(path, page, MAX_PIXELS)) or image


@cache
def _formats() -> tuple[str, ...]:
    import pi_heif  # the photos of phones; takes as long to import as Pillow

    pi_heif.register_heif_opener()
    return FORMATS


def page_count(path: Path | str) -> int:
    """How many pages a document (TIFF, DCX) has; 1 for all other files, and for broken ones.

    The frames of an animation and the views of a stereo photo are no pages: see `notes`.
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
    except Exception:  # reading the file will say what is wrong with it
        return 1


def notes(image: Image.Image) -> list[str]:
    """What reading an image from `open_image` as 8-bit RGB loses, as clauses for the user.

    Further pages of a document are not mentioned: they are read on their own (`page_count`).
    """
    return [*_frames_note(image), *_depth_note(image), *_colour_note(image)]


def _frames_note(image: Image.Image) -> list[str]:
    if image.format not in ANIMATED - {"TIFF", "DCX"}:
        return []
    try:
        count = int(getattr(image, "n_frames", 1))
    except Exception as error:  # frames are counted by reading the whole file
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
    """Whether a file begins as an image of a common format does, whatever its name."""
    try:
        with _quietly(), Image.open(path, formats=_formats()[:MARKED]):
            return True
    except Exception:
        return False


def upright(image: Image.Image) -> Image.Image:
    """An image as it is to be looked at: turned and mirrored as its EXIF orientation says.

    Unlike Pillow's `exif_transpose` it does not write EXIF anew, which fails where any entry is
    damaged.
    """
    method = UPRIGHT.get(orientation(image))
    return image if method is None else image.transpose(method)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image, 1 to 8; 1 where there is none or the EXIF is damaged."""
    exif = exif_of(image)
    try:
        value = exif.get(Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and value in UPRIGHT else 1


def exif_of(image: Image.Image) -> Image.Exif:
    """The EXIF of an image as far as it can be read; empty where there is none."""
    try:
        return image.getexif()
    except Exception:
        return image.getexif()  # the second call gives what was read before the first one failed


def from_pil(image: Image.Image) -> np.ndarray:
    """A PIL image of any mode as RGB, uint8, (H, W, 3), upright, transparency over white."""
    return rgb(upright(image))


def rgb(image: Image.Image) -> np.ndarray:
    """As `from_pil`, of an image that is upright already, whatever its EXIF says."""
    return np.array(_to_rgb(image))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Pillow's warnings: of large pictures, as `MAX_PIXELS` is the limit, and of EXIF."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _to_rgb(image: Image.Image) -> Image.Image:
    if is_deep(image):
        return to_8_bit(image).convert("RGB")
    if has_alpha(image):
        image = to_rgba(image)
        canvas = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(canvas, image).convert("RGB")
    return image.convert("RGB")


def over_white(image: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """RGB uint8 (H, W, 3) laid over white by its alpha, uint8 (H, W); None leaves it as it is."""
    if alpha is None:
        return image
    opaque = Image.fromarray(image)
    white = Image.new("RGB", opaque.size, WHITE)
    return np.array(Image.composite(opaque, white, Image.fromarray(alpha)))


def has_alpha(image: Image.Image) -> bool:
    """Whether an image has transparency, as a channel or as a colour."""
    return "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info


def to_rgba(image: Image.Image) -> Image.Image:
    """An image that has alpha as RGBA; Pillow has no direct way from premultiplied grey."""
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


FAST_PNG = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG),
)
"""Runs, not matches, of one filter's values: a third of the time of Pillow's level 3 for files of
the same size, an eighth of its usual level 6 for files 5 % larger."""


def write_image(path: Path | str, image: np.ndarray) -> None:
    """Write an RGB uint8 (H, W, 3) array, atomically; the suffix chooses the format."""
    with atomic_path(path) as temporary:
        if temporary.suffix.lower() == ".png":
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            temporary.write_bytes(cv2.imencode(".png", bgr, FAST_PNG)[1].tobytes())
        else:
            Image.fromarray(image).save(temporary, quality=95)


def to_tensor(image: np.ndarray) -> Tensor:
    """uint8 (H, W, 3) or (B, H, W, 3) -> float32 in [0, 1], (3, H, W) or (B, 3, H, W).

    Examples:
        >>> to_tensor(np.full((2, 2, 3), 255, np.uint8)).shape
        torch.Size([3, 2, 2])
    """
    return torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, -3).float() / 255


def to_uint8(image: Tensor) -> np.ndarray:
    """Float in [0, 1] (clamped), (..., 3, H, W) -> uint8 (..., H, W, 3), rounded to nearest.

    Examples:
        >>> to_uint8(torch.full((3, 1, 1), 0.5)).ravel().tolist()
        [128, 128, 128]
    """
    scaled = image.detach().float().clamp(0, 1).mul(255).add(0.5)
    return scaled.to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()


def luminance(images: Tensor) -> Tensor:
    """Grey (BT.601) of RGB images in their own range, (B, 3, H, W) -> (B, 1, H, W)."""
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
