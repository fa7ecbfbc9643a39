"""Random squares of any photographs, for networks that restore more than faces.

As in `faceskd.data.dataset`, an item depends only on (seed, epoch, index).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from torch.utils.data import Dataset

from faceskd.common.checks import check_whole
from faceskd.common.decoding import MAX_PIXELS, identified
from faceskd.common.errors import ConfigError, FacesError, ImageError
from faceskd.common.images import read_image, to_tensor
from faceskd.common.listing import images_and_problems
from faceskd.data.degradation import Degradation
from faceskd.data.stream import StreamData

LONGEST_CACHED_SIDE = 1280
CACHED_IMAGES = 500
Folders = Mapping[str, Mapping[str, Any]]


def usable_images(folder: Path | str, smallest: int) -> list[Path]:
    """Images in a folder and its sub-folders whose sides have at least `smallest` pixels.

    Each file is listed only once, even if links lead to it. The number of images that are left out
    is printed to stderr.

    Raises:
        FacesError: no image is usable.
        FaceskdError: the folder does not exist or contains no image.
    """
    paths, problems = images_and_problems(folder)
    sides = {path: _shorter_side(path) for path in sorted({path.resolve() for path in paths})}
    usable = [path for path, side in sides.items() if side is not None and side >= smallest]
    unreadable = [file.path for file in problems]
    unreadable += [path for path, side in sides.items() if side is None]
    found = len(sides) + len(problems)
    left_out = found - len(usable)
    small = left_out - len(unreadable)
    told = f"{found} images: {small} are smaller than {smallest} px, {len(unreadable)} cannot "
    told += f"be read{f' (for example {unreadable[0].name})' if unreadable else ''}"
    if not usable:
        raise FacesError(f"no usable image in {str(folder)!r}, of {told}")
    if left_out:
        Console(stderr=True, soft_wrap=True).print(
            f"{folder}: left out {left_out} of {told}", markup=False, highlight=False
        )
    return usable


def _shorter_side(path: Path) -> int | None:
    """The shorter side in pixels, from the file's header; None if it is damaged or too large."""
    try:
        with identified(path) as image:
            width, height = image.size
    except Exception:  # decoders raise many kinds
        return None
    return min(width, height) if width * height <= MAX_PIXELS else None


class ImageCrops(Dataset[dict[str, torch.Tensor]]):
    """Random squares of the images in several folders.

    An item has `hr` (3, size, size) and its degraded `lr`, float32 in [0, 1].

    Args:
        folders: name -> {path, share}: a folder (with its sub-folders), and the share of squares
            from it.
        degradation: function from a square to its LR image.
        size: side of the squares, in px. A square is cut from the image and reduced to `size` by
            area averaging. Its side before is log-uniform between `size` and the shorter side of
            the image. Smaller images are left out.
        seed: seed of everything that is drawn, together with epoch and index.
        length: number of squares per epoch.
        cache: largest number of decoded images kept in memory, about 4 MB each. Large images are
            kept reduced, with a longer side of 1280 px, or a shorter side of `size`.

    Raises:
        ConfigError: a folder has no path, or more than path and share, or a share is not a number,
            or below 0, or all are 0.
        FacesError: a folder has no image that is large enough.
    """

    def __init__(
        self,
        folders: Folders,
        degradation: Degradation,
        *,
        size: int = 256,
        seed: int = 0,
        length: int = 1000,
        cache: int = CACHED_IMAGES,
    ) -> None:
        self.shares = _shares(folders)
        self.images = [usable_images(entry["path"], size) for entry in folders.values()]
        self.degradation = degradation
        self.size = size
        self.seed = seed
        self.length = length
        self.most_cached = cache
        self.cache: dict[Path, np.ndarray] = {}
        self.damaged: set[Path] = set()

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, torch.Tensor]:
        """`key` is an index, or (epoch, index); a bare index means epoch 0."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        rng = np.random.default_rng((self.seed, epoch, index))
        images = self.images[rng.choice(len(self.images), p=self.shares)]
        return self.item(self.draw(images, rng), rng)

    def item(self, hr: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        """What is made of a square, uint8 RGB (size, size, 3). Subclasses may override it."""
        return {"lr": to_tensor(self.degradation(hr, rng)), "hr": to_tensor(hr)}

    def draw(self, images: Sequence[Path], rng: np.random.Generator) -> np.ndarray:
        """A random square, uint8 RGB (size, size, 3), of one of the images.

        Of a damaged image, the next one takes the place.

        Raises:
            ImageError: all images are damaged.
        """
        first = int(rng.integers(len(images)))
        for offset in range(len(images)):
            path = images[(first + offset) % len(images)]
            if path in self.damaged:
                continue
            try:
                image = self.read(path)
            except ImageError as error:
                self.damaged.add(path)
                Console(stderr=True, soft_wrap=True).print(
                    f"left out: {error}", markup=False, highlight=False
                )
                continue
            return self.square(image, rng)
        raise ImageError(f"all {len(images)} images are damaged, such as {images[first].name}")

    def square(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A random square of an image, uint8 RGB (size, size, 3)."""
        short = min(image.shape[:2])
        side = round(short * (self.size / short) ** rng.uniform()) if short > self.size else short
        top = rng.integers(image.shape[0] - side + 1)
        left = rng.integers(image.shape[1] - side + 1)
        square = image[top : top + side, left : left + side]
        if rng.uniform() < 0.5:
            square = square[:, ::-1]
        sides = (self.size, self.size)
        return cv2.resize(np.ascontiguousarray(square), sides, interpolation=cv2.INTER_AREA)

    def read(self, path: Path) -> np.ndarray:
        """An image, uint8 RGB (H, W, 3), reduced if it is large. Subclasses may add channels.

        Raises:
            ImageError: the image is damaged.
        """
        if path in self.cache:
            return self.cache[path]
        image = read_image(path)
        high, wide = image.shape[:2]
        share = max(LONGEST_CACHED_SIDE / max(high, wide), self.size / min(high, wide))
        if share < 1:
            sides = (round(wide * share), round(high * share))
            image = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
        if len(self.cache) < self.most_cached:
            self.cache[path] = image
        return image


def _shares(folders: Folders) -> np.ndarray:
    """The probability of each folder; the sum is 1."""
    if not folders or not all(entry.get("path") for entry in folders.values()):
        raise ConfigError(
            f"expected folders as name: {{path: FOLDER, share: 1.0}}, got {dict(folders or {})}"
        )
    if odd := sorted({key for entry in folders.values() for key in entry} - {"path", "share"}):
        raise ConfigError(
            f"expected path and share of each folder, got {odd[0]!r}: {dict(folders)}"
        )
    given = [entry.get("share", 1.0) for entry in folders.values()]
    numbers = all(isinstance(share, (int, float)) and share >= 0 for share in given)
    if not numbers or sum(given) <= 0:
        raise ConfigError(f"expected shares of at least 0 with a sum above 0, got {given}")
    return np.array(given, float) / sum(given)


class ImageData(StreamData):
    """A training stream of `ImageCrops`, and a fixed set of them for validation.

    The set is the same for every seed.

    Args:
        folders: folders to train on, see `ImageCrops`.
        val_folders: folders to validate on.
        degradation, size, cache: see `ImageCrops`.
        val_limit: number of squares to validate on.
        batch_size, steps_per_epoch, workers, seed: see `StreamData`.
    """

    crops: type[ImageCrops] = ImageCrops

    def __init__(
        self,
        *,
        folders: Folders,
        val_folders: Folders,
        degradation: Degradation,
        size: int = 256,
        batch_size: int = 8,
        steps_per_epoch: int = 200,
        val_limit: int = 64,
        workers: int = 0,
        seed: int = 0,
        cache: int = CACHED_IMAGES,
    ) -> None:
        super().__init__(
            batch_size=batch_size, steps_per_epoch=steps_per_epoch, workers=workers, seed=seed
        )
        check_whole(1, **{"data.size": size, "data.val_limit": val_limit})
        check_whole(0, **{"data.cache": cache})
        options: dict[str, Any] = {"size": size, "cache": cache}
        self.train = self.crops(folders, degradation, seed=seed, **options)
        self.val = self.crops(val_folders, degradation, length=val_limit, **options)
