"""Photos as workers decode and write them; the server never imports this module."""

import errno
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from faceskd.common.errors import ImageError, TooLargeError, causes
from faceskd.restore.photo_files import LONGEST_SIDE, read_photo, write_photo
from faceskd.restore.photo_files import Photo as PhotoFile
from faceskd.studio.problems import Problem

THUMBNAIL = 320
PREVIEW = 2048

SUFFIX = {"JPEG": "jpg", "WebP": "webp"}
"""Of results, by the format of the photo; all others become PNG, as `faceskd restore` does."""


@dataclass(frozen=True)
class Crop:
    """A square of an upright photo, in its pixels."""

    x: int
    y: int
    side: int


def read(path: Path, max_pixels: int) -> PhotoFile:
    """Decode a photo.

    The size in the file's header is checked before anything is decoded.

    Raises:
        Problem: it is no image, damaged, or has too many pixels; or, which may pass, memory is
            short, or the file is missing or cannot be read.
    """
    try:
        return read_photo(path, max_pixels=max_pixels)
    except TooLargeError:
        raise Problem("too_many_pixels", limit=f"{max_pixels:,}") from None
    except ImageError as error:
        if any(isinstance(one, MemoryError) for one in causes(error)):
            raise Problem("no_memory") from error
        if any(map(_is_of_the_disk, causes(error))) or not path.is_file():
            raise Problem("file_away") from error
        reason = str(error).removeprefix(f"{path.name}: ")
        raise Problem("unreadable", reason=reason) from error


def _is_of_the_disk(error: BaseException) -> bool:
    """Whether an error comes from the disk. Decoders go to impossible places of damaged files."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def cut(photo: PhotoFile, crop: Crop | None) -> PhotoFile:
    """The crop of a photo; without metadata, which tells where and when it was taken.

    Raises:
        Problem: the square is not inside the photo.
    """
    if crop is None:
        return photo
    height, width = photo.image.shape[:2]
    if crop.x + crop.side > width or crop.y + crop.side > height:
        raise Problem("crop_outside")
    rows, columns = slice(crop.y, crop.y + crop.side), slice(crop.x, crop.x + crop.side)
    alpha = None if photo.alpha is None else photo.alpha[rows, columns]
    return PhotoFile(np.ascontiguousarray(photo.image[rows, columns]), alpha, {}, photo.grey)


def central_square(photo: PhotoFile) -> PhotoFile:
    """The largest central square of a photo, with its metadata."""
    height, width = photo.image.shape[:2]
    side = min(height, width)
    square = Crop((width - side) // 2, (height - side) // 2, side)
    return replace(cut(photo, square), metadata=photo.metadata)


def suffix_of(format_: str, image: np.ndarray) -> str:
    """The suffix of a result: that of the photo's format if it holds so many pixels, or "png"."""
    suffix = SUFFIX.get(format_, "png")
    longest = max(image.shape[:2])
    return suffix if longest <= LONGEST_SIDE.get(suffix, longest) else "png"


def encode(folder: Path, image: np.ndarray, photo: PhotoFile, suffix: str) -> bytes:
    """The file of a result, with what the photo's file carried: alpha, colour profile, EXIF.

    Args:
        folder: for a temporary file.
        image: RGB uint8 (H, W, 3).
        photo: where it comes from.
        suffix: "jpg", "png" or "webp".
    """
    path = folder / f"result.{suffix}"
    write_photo(path, image, photo)
    return path.read_bytes()


def thumbnail(image: np.ndarray) -> bytes:
    """The central square as WebP of 320x320 pixels."""
    picture = Image.fromarray(image)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    small = picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS, box)
    return _webp(small, 80)


def preview(image: np.ndarray) -> bytes:
    """The picture as WebP, its longer side reduced to 2048 pixels."""
    picture = Image.fromarray(image)
    picture.thumbnail((PREVIEW, PREVIEW), Image.Resampling.LANCZOS)
    return _webp(picture, 90)


def before(image: np.ndarray, result: np.ndarray) -> bytes:
    """The original as WebP of the size that `preview` gives a result.

    Of another shape, as an aligned face cut from a photo, the largest central part is taken.
    """
    shown = Image.fromarray(result)
    shown.thumbnail((PREVIEW, PREVIEW), Image.Resampling.LANCZOS)
    picture = Image.fromarray(image)
    share = min(picture.width / shown.width, picture.height / shown.height)
    width, height = shown.width * share, shown.height * share
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    box = (left, top, left + width, top + height)
    return _webp(picture.resize(shown.size, Image.Resampling.BICUBIC, box), 90)


def _webp(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=quality, method=2)
    return file.getvalue()
