"""Restore whole pictures with one network: drawings, and other pictures without faces.

The picture is enlarged by Lanczos and the network improves it tile by tile
(`faceskd.restore.background.TiledScene`), so that memory is bounded.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.restore.background import LARGEST_SCALE, tiled_scene
from faceskd.restore.networks import Weights, loaded
from faceskd.restore.photo_files import check_extension, extension, read_photo, write_photo
from faceskd.restore.photos import IMAGES
from faceskd.restore.results import InputFile, Result, joined
from faceskd.restore.stream import Read


class PictureRestorer:
    """A network of scale 1 or 4 that enlarges and improves whole pictures.

    Args:
        weights: see `faceskd.restore.restorer.Restorer`; of a network for any size.
        scale: width of the result divided by the width of the picture, 1 to 4.
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
        device: str = "cpu",
        precision: str | None = "auto",
    ) -> None:
        if not 1 <= scale <= LARGEST_SCALE:
            raise ConfigError(
                f"expected a scale from 1 to {LARGEST_SCALE} for whole pictures, got {scale}"
            )
        network = loaded(weights, device=device, precision=precision)
        self._scale = scale
        self._enlarge = tiled_scene(network)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        """A picture, RGB uint8 (H, W, 3) -> (scale H, scale W, 3). Grey pictures stay grey."""
        height, width = (round(side * self._scale) for side in picture.shape[:2])
        return self._enlarge(picture, (width, height))

    def restore_faces(self, pictures: Sequence[np.ndarray], /) -> list[np.ndarray]:
        """Several pictures, one after the other."""
        return [self(picture) for picture in pictures]


class WholePictures:
    """Task for pictures that are restored as a whole; transparency is kept.

    Args:
        ext: format of the results, see `faceskd.restore.photo_files.EXTENSIONS`.

    Raises:
        ConfigError: `ext` is unknown.
    """

    folders: tuple[str, ...] = (IMAGES,)
    suffixes: tuple[str, ...] = (".png", ".jpg", ".webp")
    ahead = 2

    def __init__(self, *, ext: str = "auto") -> None:
        self._ext = check_extension(ext)

    def read(self, input_file: InputFile) -> Read:
        """Read a picture."""
        photo = read_photo(input_file.path, input_file.page)
        return Read(input_file, [spread_colours(photo.image, photo.alpha)], photo)

    def write(self, read: Read, restored: Sequence[np.ndarray], out: Path) -> list[Result]:
        """Write the picture, with the metadata of the input."""
        given = read.input_file
        image = f"{IMAGES}/{given.name}.{extension(given.path.name, self._ext)}"
        left_out = write_photo(out / image, restored[0], read.state)
        message = joined(read.state.notes, left_out)
        return [Result(given.source, message=message, output=image, image=image)]

    def restore_video(self, restorer: Any, input_file: InputFile, out: Path) -> list[Result]:
        """Refuse it: videos are restored for their faces."""
        raise FaceskdError(
            "expected an image for this kind of restoration, got a video; use --kind photo"
        )


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
    nearest = ndimage.distance_transform_edt(
        alpha == 0, return_distances=False, return_indices=True
    )
    return image[tuple(nearest)]
