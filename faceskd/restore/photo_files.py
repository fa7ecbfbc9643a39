"""Photos in and out with all they carry: alpha, colour profile, EXIF, XMP, resolution."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from PIL.ExifTags import IFD, Base

from faceskd.common.errors import ImageError
from faceskd.common.files import atomic_path
from faceskd.common.images import WHITE, from_pil, open_image

EXTENSIONS = ("auto", "png", "jpg", "webp")
_SAME = {".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}

SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG", "compress_level": 1, "compress_type": 3},  # runs: twice as fast
    "jpg": {"format": "JPEG", "quality": 95},
    "webp": {"format": "WEBP", "quality": 95},
}
TIFF_LAYOUT = frozenset(
    {254, 255, *range(256, 260), 262, 263, 266, 273, *range(277, 280), 284, 317}
    | {*range(320, 326), 330, 338, 339, 347, *range(512, 522), *range(529, 533)}
)
"""Tags that tell how a TIFF's pixels lie in its file; in EXIF of another file they are wrong."""

LONGEST_SIDE = {"jpg": 65_535, "webp": 16_383}


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo as it came.

    Attributes:
        image: RGB uint8, (H, W, 3), upright.
        alpha: uint8, (H, W); None where the file has none.
        metadata: what Pillow is to write again: `icc_profile`, `exif`, `xmp`, `dpi`.
    """

    image: np.ndarray
    alpha: np.ndarray | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


def read_photo(path: Path | str) -> Photo:
    """Read a photo; colours under alpha are as in the file, not laid over white.

    A colour profile is kept where the file's colours are RGB, which is what will be written.

    Raises:
        ImageError: as `faceskd.common.images.read_image`.
    """
    with open_image(path) as file:
        upright = ImageOps.exif_transpose(file)
        metadata: dict[str, Any] = {
            key: upright.info[key] for key in ("xmp", "dpi") if key in upright.info
        }
        if upright.mode.startswith(("RGB", "P")) and upright.info.get("icc_profile"):
            metadata["icc_profile"] = upright.info["icc_profile"]
        if exif := _exif(file):
            metadata["exif"] = exif
        if "A" in upright.getbands() or "transparency" in upright.info:
            pixels = np.array(upright.convert("RGBA"))
            return Photo(np.ascontiguousarray(pixels[..., :3]), pixels[..., 3], metadata)
        return Photo(from_pil(upright), None, metadata)


def extension(source: str, wanted: str) -> str:
    """Of "auto" the source's own where it is JPEG or WebP, else PNG.

    Examples:
        >>> extension("a.JPEG", "auto"), extension("a.tif", "auto"), extension("a.tif", "jpg")
        ('jpg', 'png', 'jpg')
    """
    return _SAME.get(Path(source).suffix.lower(), "png") if wanted == "auto" else wanted


def write_photo(path: Path, image: np.ndarray, original: Photo) -> None:
    """Write what became of a photo, with the alpha (enlarged) and metadata of the original.

    JPEG holds no alpha: there the image is laid over white.

    Args:
        path: its suffix, .png, .jpg or .webp, chooses the format.
        image: RGB uint8, (H, W, 3), of any size.
        original: where it comes from.

    Raises:
        ImageError: the format cannot hold an image of this size.
    """
    kind = path.suffix[1:]
    height, width = image.shape[:2]
    if max(height, width) > LONGEST_SIDE.get(kind, max(height, width)):
        raise ImageError(
            f"{path.name}: {width}x{height} pixels, but {kind} holds at most "
            f"{LONGEST_SIDE[kind]} along a side; give --ext png or a smaller scale"
        )
    result = Image.fromarray(image)
    if original.alpha is not None:
        alpha = Image.fromarray(original.alpha).resize(result.size, Image.Resampling.LANCZOS)
        if kind == "jpg":
            result = Image.composite(result, Image.new("RGB", result.size, WHITE), alpha)
        else:
            result.putalpha(alpha)
    metadata = dict(original.metadata)
    if "exif" in metadata:
        metadata["exif"] = _resized(metadata["exif"], width, height)
    with atomic_path(path) as temporary:
        result.save(temporary, **SAVE_OPTIONS[kind], **metadata)


def _exif(file: Image.Image) -> bytes:
    """The EXIF of a file, for its upright pixels; empty where there is none or it is damaged."""
    exif = file.getexif()
    for tag in {Base.Orientation} | (TIFF_LAYOUT if file.format == "TIFF" else set()):
        exif.pop(tag, None)
    try:
        return exif.tobytes() if exif else b""
    except (ValueError, TypeError, KeyError, struct.error):
        return b""


def _resized(exif: bytes, width: int, height: int) -> bytes:
    """EXIF in which width and height, where it gives them, are the result's."""
    changed = Image.Exif()
    changed.load(exif)
    details = changed.get_ifd(IFD.Exif) if IFD.Exif in changed else {}
    for tags, directory in (
        ((Base.ImageWidth, Base.ImageLength), changed),
        ((Base.ExifImageWidth, Base.ExifImageHeight), details),
    ):
        for tag, side in zip(tags, (width, height), strict=True):
            if tag in directory:
                directory[tag] = side
    return changed.tobytes()
