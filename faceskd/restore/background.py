"""What is no face in a photo: enlarged by Lanczos, by a network, or by repeating pixels."""

import threading
from collections.abc import Callable

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from faceskd.common.decoding import MAX_PIXELS
from faceskd.common.errors import ConfigError, ImageError, WeightsError
from faceskd.common.images import to_tensor, to_uint8
from faceskd.export.loading import Exported

SCENE, LANCZOS, NONE = BACKGROUNDS = ("scene", "lanczos", "none")

Enlarge = Callable[[np.ndarray, tuple[int, int]], np.ndarray]
"""From a photo, RGB uint8 (H, W, 3), and a (width, height) to the photo of that size."""

LARGEST_SCALE = 4
"""What networks for photos are trained for; beyond it, their result is enlarged by Lanczos."""

MAX_RESULT_PIXELS = 4 * MAX_PIXELS
"""Pixels of the largest result: the largest photo, twice as wide and high."""

TILE, HALO = 512, 64
"""Side of what the network is given at once, px, and how much of it on each side is not used.

The halo is wider than what a pixel of `SceneNet` or of RRDBNet sees around itself, so that tiles
leave no seams.
"""

NO_SCENE = (
    "expected weights for the background 'scene', got none: give the restorer "
    "scene=faceskd.pretrained.model_path('scene') or a file, or choose the background 'lanczos'"
)


def enlarged_background(
    image: np.ndarray, size: tuple[int, int], background: str, scene: Enlarge | None = None
) -> np.ndarray:
    """A photo, RGB uint8, at another (width, height), as one of `BACKGROUNDS` says.

    Raises:
        WeightsError: "scene" without a network.
    """
    if background == SCENE:
        if scene is None:
            raise WeightsError(NO_SCENE)
        return scene(image, size)
    method = Image.Resampling.LANCZOS if background == LANCZOS else Image.Resampling.NEAREST
    return np.array(Image.fromarray(image).resize(size, method))


def check_result(width: int, height: int) -> None:
    """Raise an ImageError for a picture of more than `MAX_RESULT_PIXELS`."""
    if width * height > MAX_RESULT_PIXELS:
        raise ImageError(
            f"expected a result of at most {MAX_RESULT_PIXELS:,} pixels, got {width}x{height}; "
            "give a smaller scale or photo"
        )


def enlarged_part(
    photo: Image.Image, size: tuple[int, int], bounds: tuple[int, int, int, int]
) -> np.ndarray:
    """A part (left, top, right, bottom) of a photo enlarged to `size` by Lanczos.

    It takes Pillow's image and not an array, because conversion copies the whole photo.
    """
    left, top, right, bottom = bounds
    across, down = photo.width / size[0], photo.height / size[1]
    box = (left * across, top * down, right * across, bottom * down)
    part = (right - left, bottom - top)
    return np.array(photo.resize(part, Image.Resampling.LANCZOS, box=box))


def tiled_scene(network: Exported, largest: float = LARGEST_SCALE) -> "TiledScene":
    """A network of scale 1 or 4 that enlarges photos.

    Args:
        network: the network.
        largest: as of `TiledScene`.

    Raises:
        ConfigError: it has another scale.
    """
    if network.scale not in (1, LARGEST_SCALE):
        raise ConfigError(
            f"expected a network of scale 1 or {LARGEST_SCALE} for pictures of any size, got one "
            f"of scale {network.scale}"
        )
    return TiledScene(network, network.scale, largest)


class TiledScene:
    """A network over a photo, tile by tile.

    A network of scale 1 gets the photo as Lanczos enlarges it, up to `largest` times; beyond that,
    Lanczos enlarges its result. One of scale 4 gets the photo
    itself, and Lanczos resizes its result, which is four times as wide and high as the photo
    whatever size is asked for. Memory beside these pictures is bounded by a tile.

    Args:
        run: fp32 RGB (1, 3, H, W) in [0, 1] -> (1, 3, scale H, scale W).
        scale: of the network.
        largest: scale up to which a network of scale 1 is trained.
    """

    def __init__(
        self,
        run: Callable[[Tensor], Tensor],
        scale: int = 1,
        largest: float = LARGEST_SCALE,
    ) -> None:
        self._run = run
        self._largest = largest
        self._scale = scale
        self._running = threading.Lock()

    def check(self, image: np.ndarray, size: tuple[int, int]) -> None:
        """Raise an ImageError if a photo cannot be enlarged to a (width, height)."""
        check_result(*size)
        check_result(*self._made(image, size))

    def _made(self, image: np.ndarray, size: tuple[int, int]) -> tuple[int, int]:
        """Width and height of what the network makes, before Lanczos resizes it to `size`."""
        width, height = image.shape[1::-1]
        largest = (round(self._largest * width), round(self._largest * height))
        if self._scale == 1:
            return largest if size[0] > largest[0] else size
        return self._scale * width, self._scale * height

    def __call__(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        self.check(image, size)
        made = self._made(image, size)
        if size != made:
            return enlarged_background(self(image, made), size, LANCZOS)
        result = np.empty((size[1], size[0], 3), np.uint8)
        step = self._scale * (TILE - 2 * HALO)
        grey = bool((image == image[..., :1]).all())
        photo = Image.fromarray(image)
        for top in range(0, size[1], step):
            for left in range(0, size[0], step):
                tile = result[top : top + step, left : left + step]
                improved = self._tile(photo, size, left, top)[: tile.shape[0], : tile.shape[1]]
                tile[:] = (
                    cv2.cvtColor(improved, cv2.COLOR_RGB2GRAY)[..., None] if grey else improved
                )
        return result

    def _tile(self, photo: Image.Image, size: tuple[int, int], left: int, top: int) -> np.ndarray:
        """The tile at (left, top) of the result, without its halo."""
        scale = self._scale
        across, down = (side // scale for side in size)  # of what the network gets
        x, y = left // scale, top // scale
        first_x, first_y = max(x - HALO, 0), max(y - HALO, 0)
        bounds = first_x, first_y, min(x + TILE - HALO, across), min(y + TILE - HALO, down)
        part = enlarged_part(photo, (across, down), bounds)
        with self._running, torch.inference_mode():
            improved = to_uint8(self._run(to_tensor(part[None])))[0]
        rows, columns = scale * (y - first_y), scale * (x - first_x)
        side = scale * (TILE - 2 * HALO)
        return improved[rows : rows + side, columns : columns + side]
