"""Images in and out: RGB everywhere, uint8 (H, W, 3) on disk, float32 (B, 3, H, W) in [0, 1] here.

Every image that a user hands over is read by `read_image`, so that odd files (CMYK, palette,
16 bit, alpha, EXIF rotation) look the same to all commands, and broken ones fail with a sentence.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from faceskd.common.errors import FaceskdError, ImageError
from faceskd.common.files import atomic_path

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".jp2"}
)
MAX_PIXELS = 150_000_000  # 100-megapixel photographs pass; decompression bombs do not
WHITE = (255, 255, 255)
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in luminance, ITU-R BT.601


def list_images(folder: Path | str) -> list[Path]:
    """Files below `folder` with an image's suffix, sorted; hidden ones are left out.

    Raises:
        FaceskdError: there is no such folder, or it holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FaceskdError(f"expected a folder of images, but {str(folder)!r} is not a folder")
    images = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not images:
        endings = ", ".join(sorted(IMAGE_SUFFIXES))
        raise FaceskdError(f"no image in the folder {str(folder)!r}; looked for {endings}")
    return images


def read_image(path: Path | str) -> np.ndarray:
    """Read any image file as RGB, uint8, (H, W, 3), upright.

    EXIF orientation is applied, transparency is laid over white, CMYK and palettes are converted,
    16-bit grey is scaled to 8 bit, and of an animation the first frame is taken.

    Raises:
        ImageError: the file is missing, empty, not an image, truncated, or over 150 megapixels.
    """
    with open_image(path) as image:
        return from_pil(image)


@contextmanager
def open_image(path: Path | str) -> Iterator[Image.Image]:
    """An image file as Pillow has it, decoded; what goes wrong is an `ImageError`.

    Raises:
        ImageError: as `read_image`.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path.name}: no such file")
    if path.stat().st_size == 0:
        raise ImageError(f"{path.name}: the file is empty")
    try:
        with _quietly(), Image.open(path) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(
                    f"{path.name}: {width}x{height} pixels, expected at most {MAX_PIXELS:,} in all"
                )
            image.load()
            yield image
    except UnidentifiedImageError as error:
        raise ImageError(f"{path.name}: not an image that can be read") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path.name}: damaged or truncated image ({error})") from error


def from_pil(image: Image.Image) -> np.ndarray:
    """A PIL image of any mode as RGB, uint8, (H, W, 3), upright, transparency over white."""
    return np.array(_to_rgb(ImageOps.exif_transpose(image)))


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Pillow's warning of pictures over 89 megapixels: `MAX_PIXELS` is the limit here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        if image.mode == "F" and values.max() <= 1:
            values = values * 255
        elif image.mode.startswith("I;16") or values.max() > 255:
            values = values / 257  # 65535 -> 255
        return Image.fromarray(np.clip(values.round(), 0, 255).astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(canvas, image).convert("RGB")
    return image.convert("RGB")


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
