"""Read and write photos with alpha, colour profile, EXIF, XMP and resolution."""

import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, TAGS, Base

from faceskd.common.checks import check_choice
from faceskd.common.decoding import exif_of, has_alpha, notes, open_image, to_rgba, upright
from faceskd.common.depth import is_deep
from faceskd.common.errors import ImageError
from faceskd.common.files import atomic_path
from faceskd.common.images import WHITE, rgb

EXTENSIONS = ("auto", "png", "jpg", "webp")
_SAME = {".jpg": "jpg", ".jpeg": "jpg", ".jpe": "jpg", ".jfif": "jpg", ".webp": "webp"}

SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {"format": "PNG", "compress_level": 1, "compress_type": 3},  # runs: twice as fast
    "jpg": {"format": "JPEG", "quality": 95},
    "webp": {"format": "WEBP", "quality": 95},
}
TIFF_LAYOUT = frozenset(
    {254, 255, *range(256, 260), 262, 263, 266, 273, *range(277, 280), 284, 317}
    | {*range(320, 326), 330, 338, 339, 347, *range(512, 522), *range(529, 533)}
)
"""TIFF tags about the storage of pixels in the file; in another file they would be wrong."""

CARRIED_APART = frozenset({700, 34675})
"""TIFF tags of XMP and colour profile, which are copied separately."""

XMP_ORIENTATION = re.compile(rb'tiff:Orientation="\d"|<tiff:Orientation>\d</tiff:Orientation>')

DIRECTORIES = (IFD.Exif, IFD.GPSInfo)

LONGEST_SIDE = {"jpg": 65_535, "webp": 16_383}
PROFILE_COLOURS = {"RGB": b"RGB ", "L": b"GRAY"}
GREY_MODES = frozenset({"1", "L", "LA", "La"})
PARTS = {"exif": "EXIF", "xmp": "XMP", "icc_profile": "colour profile", "dpi": "resolution"}


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo, read from a file.

    Attributes:
        image: RGB uint8, (H, W, 3), upright.
        alpha: uint8, (H, W); None if the file has no alpha channel.
        metadata: metadata for the restored photo: `icc_profile`, `exif`, `xmp`, `dpi`.
        grey: whether the photo is grey, so that the restored photo is grey, too.
        notes: messages for the user about what was lost when the file was read.
    """

    image: np.ndarray
    alpha: np.ndarray | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    grey: bool = False
    notes: tuple[str, ...] = ()


def read_photo(path: Path | str, page: int = 0, max_pixels: int | None = None) -> Photo:
    """Read a photo. Transparent pixels get colours of those that show (`spread_colours`).

    A colour profile is kept if it fits the colours that will be written, grey or RGB. EXIF entries
    that cannot be written are left out, and `notes` says so.

    Args:
        path: image file.
        page: page of a document, from 0.
        max_pixels, and errors: see `faceskd.common.decoding.open_image`.
    """
    with open_image(path, page, max_pixels) as file:
        lost = notes(file)
        shown = upright(file)
        grey = shown.mode in GREY_MODES or is_deep(shown)
        metadata: dict[str, Any] = {}
        if dpi := shown.info.get("dpi"):
            metadata["dpi"] = dpi
        if xmp := _xmp(shown):
            metadata["xmp"] = xmp
        if profile := shown.info.get("icc_profile"):
            if profile[16:20] == PROFILE_COLOURS["L" if grey else "RGB"]:
                metadata["icc_profile"] = profile
            else:
                lost.append("the colour profile is of other colours and was left out")
        exif, damaged = _exif(file)
        if exif:
            metadata["exif"] = exif
        if damaged:
            lost.append(f"damaged EXIF was left out ({', '.join(damaged)})")
        if has_alpha(shown) and not is_deep(shown):
            pixels = np.array(to_rgba(shown))
            image, alpha = np.ascontiguousarray(pixels[..., :3]), pixels[..., 3]
            return Photo(spread_colours(image, alpha), alpha, metadata, grey, tuple(lost))
        return Photo(rgb(shown), None, metadata, grey, tuple(lost))


def spread_colours(image: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """The picture with transparent pixels in the colour of the nearest pixel that shows.

    What transparent pixels hide is arbitrary, often black. After enlargement it would shine through
    at the edges.

    Args:
        image: RGB uint8 (H, W, 3).
        alpha: uint8 (H, W), or None.
    """
    if alpha is None or not alpha.any() or alpha.all():
        return image
    from scipy import ndimage  # here, because it takes 0.2 s, and only these pictures need it

    nearest = ndimage.distance_transform_edt(
        alpha == 0, return_distances=False, return_indices=True
    )
    return image[tuple(nearest)]


def check_extension(wanted: str) -> str:
    """`wanted`, if it is one of `EXTENSIONS`; else a ConfigError."""
    check_choice(EXTENSIONS, ext=wanted)
    return wanted


def extension(source: str, wanted: str) -> str:
    """The suffix of the restored photo. "auto" keeps JPEG and WebP, and is PNG for other formats.

    Examples:
        >>> extension("a.JPEG", "auto"), extension("a.tif", "auto"), extension("a.tif", "jpg")
        ('jpg', 'png', 'jpg')
    """
    return _SAME.get(Path(source).suffix.lower(), "png") if wanted == "auto" else wanted


def write_photo(path: Path, image: np.ndarray, original: Photo) -> list[str]:
    """Write a restored photo with the alpha channel (enlarged) and the metadata of the original.

    JPEG has no alpha channel, so transparent areas become white. Metadata that the format cannot
    store, such as XMP of more than 64 KB in JPEG, is left out.

    Args:
        path: file to write; the suffix .png, .jpg or .webp is the format.
        image: RGB uint8, (H, W, 3), of any size.
        original: original photo.

    Returns:
        Messages for the user about what was left out.

    Raises:
        ImageError: the image is too large for the format.
    """
    kind = path.suffix[1:]
    height, width = image.shape[:2]
    if max(height, width) > LONGEST_SIDE.get(kind, max(height, width)):
        raise ImageError(
            f"{path.name}: {width}x{height} pixels, but {kind} holds at most "
            f"{LONGEST_SIDE[kind]} along a side; give --ext png or a smaller scale"
        )
    result = Image.fromarray(image)
    if original.grey:
        result = result.convert("L")
    if original.alpha is not None:
        alpha = Image.fromarray(original.alpha).resize(result.size, Image.Resampling.LANCZOS)
        if kind == "jpg":
            white = Image.new(result.mode, result.size, 255 if original.grey else WHITE)
            result = Image.composite(result, white, alpha)
        else:
            result.putalpha(alpha)
    options, left_out = _save_options(original.metadata, kind, result)
    with atomic_path(path) as temporary:
        result.save(temporary, **options)
    if not left_out:
        return []
    return [f"written without {' and '.join(left_out)}, which {kind} cannot hold"]


def _save_options(
    metadata: dict[str, Any], kind: str, result: Image.Image
) -> tuple[dict[str, Any], list[str]]:
    """Options for Pillow's `save` with all metadata that the format can store; names of the rest.

    Each part is tried on a picture of one pixel, because formats have different limits and Pillow
    raises different exceptions.
    """
    options, left_out = dict(SAVE_OPTIONS[kind]), []
    for part, value in metadata.items():
        try:
            option = _save_option(part, value, kind, result)
            file = io.BytesIO()
            Image.new(result.mode, (1, 1)).save(file, **SAVE_OPTIONS[kind], **option)
            if part == "icc_profile" and Image.open(file).info.get(part) != value:
                raise ValueError("Pillow writes what it cannot read again")
            options |= option
        except Exception:
            left_out.append(f"its {PARTS[part]}")
    return options, left_out


def _save_option(part: str, value: Any, kind: str, result: Image.Image) -> dict[str, Any]:
    if part == "exif":
        return {part: _resized(value, *result.size)}
    if part == "xmp" and kind == "png":  # Pillow reads it from a text, but has no option for it
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", value.decode("utf-8"))
        return {"pnginfo": text}
    if part == "dpi" and kind == "webp":
        raise ValueError("Pillow ignores it")
    if part == "icc_profile" and kind == "webp" and value[16:20] != PROFILE_COLOURS["RGB"]:
        raise ValueError("WebP has no grey")
    return {part: value}


def _xmp(image: Image.Image) -> bytes:
    """The XMP data of a file, for the upright image; empty if there is none."""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return XMP_ORIENTATION.sub(b"", xmp.encode() if isinstance(xmp, str) else bytes(xmp))


def _exif(file: Image.Image) -> tuple[bytes, list[str]]:
    """The EXIF data of a file, for the upright image, and names of the damaged entries."""
    exif = exif_of(file)
    unwanted = {Base.Orientation} | CARRIED_APART
    for tag in unwanted | (TIFF_LAYOUT if file.format == "TIFF" else set()):
        _remove(exif, tag)
    if not exif:
        return b"", []
    try:
        return exif.tobytes(), []
    except Exception:  # Pillow writes no entry whose type contradicts its value
        return _sound(exif)


def _sound(exif: Image.Exif) -> tuple[bytes, list[str]]:
    """The EXIF entries that can be written, and the names of those that cannot."""
    sound, damaged = Image.Exif(), []
    for tag in exif:
        alone = Image.Exif()
        try:
            alone[tag] = exif.get_ifd(tag) if tag in DIRECTORIES else exif[tag]
            alone.tobytes()
        except Exception:
            damaged.append(TAGS.get(tag, f"tag {tag}"))
        else:
            sound[tag] = alone[tag]
    return (sound.tobytes() if sound else b""), damaged


def _remove(exif: Image.Exif, tag: int) -> None:
    """Delete a tag, even if its value cannot be read."""
    if tag in exif:
        exif[tag] = 0
        del exif[tag]


def _resized(exif: bytes, width: int, height: int) -> bytes:
    """EXIF data with width and height, if it has them, replaced by those of the result."""
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
