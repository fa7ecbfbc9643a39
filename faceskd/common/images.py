"""Read and write images: RGB, uint8 (H, W, 3) on disk, float32 (B, 3, H, W) in [0, 1] in memory.

All images of the user are opened by `faceskd.common.decoding`. So all commands read unusual files
(CMYK, palette, 16 bit, float, alpha, EXIF rotation) in the same way, and any error of a decoder
becomes an `ImageError`.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from faceskd.common.decoding import has_alpha, open_image, to_rgba, upright
from faceskd.common.depth import is_deep, to_8_bit
from faceskd.common.files import atomic_path

WHITE = (255, 255, 255)
LUMA = (0.299, 0.587, 0.114)  # weights of red, green and blue in luminance, ITU-R BT.601
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of red, green and blue in [0, 1]
IMAGENET_STD = (0.229, 0.224, 0.225)


def read_image(path: Path | str) -> np.ndarray:
    """Read any image file as RGB, uint8, (H, W, 3), upright.

    EXIF orientation is applied. Transparent images are laid over white. CMYK and palettes are
    converted to RGB. 16-bit and float images are scaled to 8 bits
    (`faceskd.common.depth.to_8_bit`). If there are several pages or frames, the first is read.
    `faceskd.common.decoding.notes` lists what is lost.

    Raises:
        ImageError: the file is missing, empty, not an image, truncated, or over 150 megapixels.
    """
    with open_image(path) as image:
        return from_pil(image)


def from_pil(image: Image.Image) -> np.ndarray:
    """A PIL image of any mode as RGB, uint8, (H, W, 3), upright; transparent areas are white."""
    return rgb(upright(image))


def rgb(image: Image.Image) -> np.ndarray:
    """Like `from_pil`, for an image that is upright already; its EXIF orientation is ignored."""
    return np.array(_to_rgb(image))


def _to_rgb(image: Image.Image) -> Image.Image:
    if is_deep(image):
        return to_8_bit(image).convert("RGB")
    if has_alpha(image):
        image = to_rgba(image)
        canvas = Image.new("RGBA", image.size, (*WHITE, 255))
        return Image.alpha_composite(canvas, image).convert("RGB")
    return image.convert("RGB")


def over_white(image: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """Lay RGB uint8 (H, W, 3) over white with its alpha, uint8 (H, W); None: no change."""
    if alpha is None:
        return image
    opaque = Image.fromarray(image)
    white = Image.new("RGB", opaque.size, WHITE)
    return np.array(Image.composite(opaque, white, Image.fromarray(alpha)))


FAST_PNG = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG),
)
"""PNG options for speed: one filter and run-length encoding. This takes a third of the time of
Pillow's level 3 for files of the same size, and an eighth of level 6 for files 5 % larger."""


def write_image(path: Path | str, image: np.ndarray) -> None:
    """Write an RGB uint8 (H, W, 3) array, atomically, in the format of the suffix."""
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
    """Luminance (BT.601) of RGB images, (B, 3, H, W) -> (B, 1, H, W), in the same range."""
    return (images * images.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
