"""Portraits on disk as cases for `faceskd.evaluation.photos`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from faceskd.common.checks import check_whole
from faceskd.common.errors import ConfigError, FacesError
from faceskd.common.images import read_image
from faceskd.common.listing import list_images
from faceskd.data.sources import kind_of
from faceskd.evaluation.photos import SIZES, PhotoCase, photo_case
from faceskd.faces.detection import Detector, MTCNNDetector


def check_sizes(sizes: Sequence[int] | int) -> list[int]:
    """Heights of faces, px, sorted; one is a list of one.

    Raises:
        ConfigError: there is none, one comes twice, or one is outside 8 to 1024.
    """
    sizes = [sizes] if isinstance(sizes, int) else [*sizes]
    whole = all(isinstance(size, int) and 8 <= size <= 1024 for size in sizes)
    if not sizes or len(set(sizes)) != len(sizes) or not whole:
        raise ConfigError(f"expected different heights of faces from 8 to 1024 px, got {sizes}")
    return sorted(sizes)


def portrait_paths(
    folder: Path | str, limit: int | None = None, *, seed: int = 0, kind: str | None = None
) -> list[Path]:
    """The images of a folder, or so many of them, drawn at random by the seed.

    Args:
        folder: its subfolders count, too.
        limit: number of images; None: all.
        seed: of the choice.
        kind: only images of this kind, as the package's table of faces has it (`kind_of`).

    Raises:
        FaceskdError: there is no such folder, or it holds no image, or none of this kind; or the
            limit is not at least 1.
    """
    check_whole(1, limit=limit)
    paths = list_images(folder)
    if kind is not None:
        paths = [path for path in paths if kind_of(path) == kind]
        if not paths:
            raise FacesError(
                f"expected images of the kind {kind!r} in {str(folder)!r}, found none that the "
                "package's table of faces knows: leave out kind="
            )
    if limit is not None and limit < len(paths):
        chosen = np.random.default_rng(seed).choice(len(paths), limit, replace=False)
        paths = [paths[index] for index in sorted(chosen)]
    return paths


def portrait_cases(
    paths: Sequence[Path],
    sizes: Sequence[int] = SIZES,
    *,
    seed: int = 0,
    detector: Detector | None = None,
) -> Iterator[PhotoCase]:
    """Bad photos of the largest face of each portrait, at each size that the portrait has.

    The degradations depend on the seed, the portrait's place in `paths` and the size alone.

    Raises:
        FacesError: no portrait shows a face of one of the sizes.
    """
    detector = detector or MTCNNDetector(min_face=48)
    found = False
    for number, path in enumerate(paths):
        image = read_image(path)
        faces = detector.detect(image)
        for size in check_sizes(sizes):
            if faces and faces[0].height >= size:
                found = True
                rng = np.random.default_rng((seed, number, size))
                yield photo_case(path.stem, image, faces[0], size, rng)
    if not found:
        raise FacesError(
            f"expected portraits with a face of at least {min(sizes)} px, got {len(paths)} images "
            "without one"
        )
