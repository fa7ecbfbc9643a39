"""Two folders of pictures without pairs, such as day and night, for translation between them.

As in `faceskd.data.images`, an item depends only on (seed, epoch, index).
"""

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Dataset

from faceskd.common.checks import check_whole, check_whole_or_none
from faceskd.common.errors import ConfigError, ImageError
from faceskd.common.images import to_tensor
from faceskd.data.images import CACHED_IMAGES, ImageCrops
from faceskd.data.stream import StreamData


class UnpairedCrops(Dataset[dict[str, torch.Tensor]]):
    """Random squares of two domains.

    An item has `a` and `b`, (3, size, size), float32 in [0, 1]: one square from each folder. How a
    square is cut and mirrored, see `ImageCrops`.

    Args:
        a, b: folder of each domain, with its sub-folders.
        size: side of the squares, in px. Smaller images are left out.
        seed: seed of everything that is drawn, together with epoch and index.
        length: number of items per epoch; None: the number of images of the larger folder.
        cache: largest number of decoded images kept in memory, for each domain.
        paired: files of the same name show the same scene, at the same size. Then `a` and `b` are
            cut from such files at the same place, and items also have `paired`, a tensor with 1.
            Pairs with a damaged file, or of different sizes, are left out, which is printed.

    Raises:
        ConfigError: both folders have the same images; or `paired`, and the names differ.
        FacesError: a folder has no image that is large enough.
        FaceskdError: a folder does not exist or contains no image.
    """

    def __init__(
        self,
        a: Path | str,
        b: Path | str,
        *,
        size: int = 256,
        seed: int = 0,
        length: int | None = None,
        cache: int = CACHED_IMAGES,
        paired: bool = False,
    ) -> None:
        # With one seed for both, squares with the same index would come from the same place.
        seeds = (seed, seed) if paired else (2 * seed, 2 * seed + 1)
        kinds = (PairedCrops if paired else ImageCrops, ImageCrops)
        self.a, self.b = (
            kind({"": {"path": folder}}, _unchanged, size=size, seed=own, cache=cache)
            for kind, folder, own in zip(kinds, (a, b), seeds, strict=True)
        )
        (images_a,), (images_b,) = self.a.images, self.b.images
        _check_different(images_a, images_b, a, b)
        if isinstance(self.a, PairedCrops):
            check_names(images_a, images_b, a, b)
            self.a.partners = dict(zip(images_a, images_b, strict=True))
        self.length = max(len(images_a), len(images_b)) if length is None else length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, torch.Tensor]:
        """`key` is an index, or (epoch, index); a bare index means epoch 0."""
        if isinstance(self.a, PairedCrops):
            return self.a[key]
        return {"a": self.a[key]["hr"], "b": self.b[key]["hr"]}


class PairedCrops(ImageCrops):
    """Squares from the same place of two images: `a`, `b`, and `paired`, see `UnpairedCrops`.

    Attributes:
        partners: image -> the other image of its pair.
    """

    partners: Mapping[Path, Path]

    def read(self, path: Path) -> np.ndarray:
        """Both images, uint8 (H, W, 6): one square, and one damaged file, is that of both."""
        image, other = super().read(path), super().read(self.partners[path])
        if image.shape != other.shape:
            raise ImageError(
                f"expected {path.name} of one size in both folders, got {image.shape[:2]} and "
                f"{other.shape[:2]}"
            )
        return np.dstack([image, other])

    def square(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same square of both images, uint8 (size, size, 6)."""
        same = copy.deepcopy(rng)  # OpenCV resizes up to four channels at once
        squares = super().square(image[..., :3], rng), super().square(image[..., 3:], same)
        return np.dstack(squares)

    def item(self, hr: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        return {
            "a": to_tensor(hr[..., :3]),
            "b": to_tensor(hr[..., 3:]),
            "paired": torch.ones(()),
        }


def _unchanged(hr: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return hr


def _check_different(
    images_a: list[Path], images_b: list[Path], a: Path | str, b: Path | str
) -> None:
    both = set(images_a) & set(images_b)
    if both:
        raise ConfigError(
            f"expected two folders with different images, got {str(a)!r} and {str(b)!r}, which "
            f"share {len(both)} images (for example {min(both).name}): give one folder for each "
            "domain"
        )


def check_names(images_a: list[Path], images_b: list[Path], a: Path | str, b: Path | str) -> None:
    """Raise a ConfigError unless the images of the folders `a` and `b` have the same names."""
    if [path.name for path in images_a] == [path.name for path in images_b]:
        return
    odd = sorted({path.name for path in images_a} ^ {path.name for path in images_b})
    raise ConfigError(
        f"expected files of the same names in {str(a)!r} and {str(b)!r}, which show the same "
        f"scenes, got {len(odd)} names that only one has"
        f"{f' (for example {odd[0]})' if odd else ''}: without pairs there is no truth to compare "
        "with (data.val_paired=false)"
    )


class UnpairedData(StreamData):
    """A training stream of `UnpairedCrops`, and a fixed set of them for validation.

    The set is the same for every seed.

    Args:
        a, b: folder of each domain to train on.
        val_a, val_b: folders to validate on.
        val_paired: files of the same name in `val_a` and `val_b` show the same scene. Then the
            validation compares translations with the truth.
        size, cache: see `UnpairedCrops`.
        val_limit: number of pairs of squares to validate on; None: as many as the larger domain has
            images.
        batch_size, steps_per_epoch, workers, seed: see `StreamData`.
    """

    def __init__(
        self,
        *,
        a: Path | str,
        b: Path | str,
        val_a: Path | str,
        val_b: Path | str,
        val_paired: bool = False,
        size: int = 256,
        batch_size: int = 1,
        steps_per_epoch: int = 1000,
        val_limit: int | None = 16,
        workers: int = 0,
        seed: int = 0,
        cache: int = CACHED_IMAGES,
    ) -> None:
        super().__init__(
            batch_size=batch_size, steps_per_epoch=steps_per_epoch, workers=workers, seed=seed
        )
        check_whole(1, **{"data.size": size})
        check_whole_or_none(1, **{"data.val_limit": val_limit})
        check_whole(0, **{"data.cache": cache})
        self.train = UnpairedCrops(a, b, size=size, seed=seed, cache=cache)
        self.val = UnpairedCrops(
            val_a, val_b, size=size, cache=cache, length=val_limit, paired=val_paired
        )
