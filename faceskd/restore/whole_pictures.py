"""Restore or translate whole pictures with one network: drawings, landscapes.

A drawing is enlarged by Lanczos and the network improves it tile by tile
(`faceskd.restore.background.TiledScene`), so that memory is bounded. Its transparency, a grey
picture, goes through the network, too. A translation, such as day to night, normalises by the mean
of the whole picture, so it takes pictures up to a largest size.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from faceskd.common.errors import ConfigError, FaceskdError, ImageError
from faceskd.common.images import to_tensor, to_uint8
from faceskd.models.base import PICTURES, TRANSLATIONS
from faceskd.restore.background import LARGEST_SCALE, tiled_scene
from faceskd.restore.networks import Weights, loaded, of_scale
from faceskd.restore.photo_files import check_extension, extension, read_photo, write_photo
from faceskd.restore.photos import IMAGES
from faceskd.restore.results import InputFile, Result, joined
from faceskd.restore.stream import Read

TRAINED_SCALE = 2
"""What networks for drawings are trained for; beyond it, their result is enlarged by Lanczos."""

LARGEST_TRANSLATED = 4_000_000
"""Pixels of the largest picture that is translated: memory grows with the picture."""


class PictureRestorer:
    """A network of scale 1 or 4 that enlarges and improves whole pictures.

    Args:
        weights: see `faceskd.restore.restorer.Restorer`; of a network for any size.
        scale: width of the result divided by the width of the picture, 1 to 4.
        trained_scale: scale up to which a network of scale 1 is used; Lanczos does the rest.
        device, precision: as of `Restorer`.

    Attributes:
        batch_size: 1: pictures differ in size.

    Raises:
        ConfigError: the scale is outside its range, or the network takes faces of 32 px.
        WeightsError: see `Restorer`.
    """

    batch_size = 1

    def __init__(
        self,
        weights: Weights,
        *,
        scale: float = 1,
        trained_scale: float = TRAINED_SCALE,
        device: str = "cpu",
        precision: str | None = "auto",
    ) -> None:
        if not 1 <= scale <= LARGEST_SCALE:
            raise ConfigError(
                f"expected a scale from 1 to {LARGEST_SCALE} for whole pictures, got {scale}"
            )
        network = loaded(weights, PICTURES, device=device, precision=precision)
        self._scale = scale
        self._enlarge = tiled_scene(network, trained_scale)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """A picture, RGB uint8 (H, W, 3) -> (scale H, scale W, 3). Grey pictures stay grey."""
        return self._enlarge(picture, self.size(picture))

    def size(self, picture: np.ndarray) -> tuple[int, int]:
        """Width and height of the result.

        Raises:
            ImageError: the result, or what the network makes first, would be too large.
        """
        height, width = (round(side * self._scale) for side in picture.shape[:2])
        self._enlarge.check(picture, (width, height))
        return width, height

    def restore_faces(self, pictures: Sequence[np.ndarray], /) -> list[np.ndarray]:
        """Several pictures, one after the other."""
        return [self(picture) for picture in pictures]


class Translator:
    """A network that makes pictures of another kind, such as night out of day, at their size.

    Args:
        weights: see `faceskd.restore.restorer.Restorer`; of `faceskd train experiment=seasons`.
        device, precision: as of `Restorer`.

    Attributes:
        batch_size: 1: pictures differ in size.

    Raises:
        ConfigError: the network is not of scale 1.
        WeightsError: see `Restorer`.
    """

    batch_size = 1

    def __init__(
        self, weights: Weights, *, device: str = "cpu", precision: str | None = "auto"
    ) -> None:
        network = loaded(weights, TRANSLATIONS, device=device, precision=precision)
        self._network = of_scale(network, 1, "a network for translations")

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """A picture, RGB uint8 (H, W, 3) -> the translated one of the same size.

        Raises:
            ImageError: it has more than `LARGEST_TRANSLATED` pixels.
        """
        check_translatable(picture)
        with torch.inference_mode():
            return to_uint8(self._network(to_tensor(picture[None])))[0]

    def restore_faces(self, pictures: Sequence[np.ndarray], /) -> list[np.ndarray]:
        """Several pictures, one after the other."""
        return [self(picture) for picture in pictures]


def check_translatable(picture: np.ndarray) -> None:
    """Raise an ImageError for a picture with more than `LARGEST_TRANSLATED` pixels."""
    height, width = picture.shape[:2]
    if height * width > LARGEST_TRANSLATED:
        raise ImageError(
            f"expected at most {LARGEST_TRANSLATED:,} pixels to translate, got {width}x{height}: "
            "make the picture smaller first"
        )


class WholePictures:
    """Task for pictures that are restored as a whole; transparency is kept.

    Args:
        alpha: whether transparency is restored as a grey picture, not only enlarged by Lanczos. If
            it is the same everywhere, it stays as it is.
        ext: format of the results, see `faceskd.restore.photo_files.EXTENSIONS`.
        check: raises a FaceskdError for a picture, RGB uint8 (H, W, 3), that cannot be restored.

    Raises:
        ConfigError: `ext` is unknown.
    """

    folders: tuple[str, ...] = (IMAGES,)
    suffixes: tuple[str, ...] = (".png", ".jpg", ".webp")
    ahead = 2

    def __init__(
        self,
        *,
        alpha: bool,
        ext: str = "auto",
        check: Callable[[np.ndarray], object] = lambda picture: None,
    ) -> None:
        self._alpha = alpha
        self._ext = check_extension(ext)
        self._check = check

    def read(self, input_file: InputFile) -> Read:
        """Read a picture."""
        photo = read_photo(input_file.path, input_file.page)
        self._check(photo.image)
        pictures = [photo.image]
        if self._alpha and photo.alpha is not None and np.ptp(photo.alpha):
            pictures.append(cv2.cvtColor(photo.alpha, cv2.COLOR_GRAY2RGB))
        return Read(input_file, pictures, photo)

    def write(self, read: Read, restored: Sequence[np.ndarray], out: Path) -> list[Result]:
        """Write the picture, with the metadata of the input."""
        given, photo = read.input_file, read.state
        if len(restored) == 2:
            photo = replace(photo, alpha=restored[1][..., 0])
        image = f"{IMAGES}/{given.name}.{extension(given.path.name, self._ext)}"
        left_out = write_photo(out / image, restored[0], photo)
        message = joined(photo.notes, left_out)
        return [Result(given.source, message=message, output=image, image=image)]

    def restore_video(self, restorer: Any, input_file: InputFile, out: Path) -> list[Result]:
        """Refuse it: videos are restored for their faces."""
        raise FaceskdError(
            "expected an image for this kind of restoration, got a video; use --kind photo"
        )
