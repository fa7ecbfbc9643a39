"""Portraits on disk as cases for `faceskd.evaluation.photos`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from faceskd.common.checks import check_whole, check_whole_or_none
from faceskd.common.errors import ConfigError, FacesError, ImageError
from faceskd.common.files import printable
from faceskd.common.images import read_image
from faceskd.common.listing import images_and_problems
from faceskd.data.sources import kind_of
from faceskd.evaluation.photos import HR_FACE, SIZES, PhotoCase, photo_case
from faceskd.faces.detection import Detector, MTCNNDetector


def check_sizes(sizes: Sequence[int] | int) -> list[int]:
    """Heights of faces, px, sorted; one is a list of one.

    Raises:
        ConfigError: there is none, one comes twice, or one is outside 8 to 1024.
    """
    sizes = [sizes] if isinstance(sizes, int) else [*(sizes or ())]
    whole = all(isinstance(size, int) and 8 <= size <= 1024 for size in sizes)
    if not sizes or len(set(sizes)) != len(sizes) or not whole:
        raise ConfigError(f"expected different heights of faces from 8 to 1024 px, got {sizes}")
    return sorted(sizes)


class Portraits:
    """The images of a folder, or so many of them, drawn at random by the seed.

    Args:
        folder: its subfolders count, too.
        limit: number of images; None: all.
        seed: of the choice, and of the degradations.
        kind: only images of this kind, as the package's table of faces has it (`kind_of`).

    Attributes:
        paths: the images.
        left_out: portrait -> why it gives no case. `cases` adds to it.
        enlarged: portraits whose face is smaller than `HR_FACE`, so that their HR photo is
            enlarged and less sharp than the others. `cases` adds to it.

    Raises:
        FaceskdError: there is no such folder, or it holds no image, or none of this kind; or the
            limit is not at least 1.
    """

    def __init__(
        self,
        folder: Path | str,
        limit: int | None = None,
        *,
        seed: int = 0,
        kind: str | None = None,
    ) -> None:
        check_whole_or_none(1, limit=limit)
        check_whole(0, seed=seed)
        paths, problems = images_and_problems(folder)
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
        self.folder = Path(folder)
        self.paths = paths
        self.seed = seed
        self.left_out = {file.source: file.problem for file in problems}
        self.enlarged: list[str] = []

    def cases(
        self, sizes: Sequence[int] = SIZES, *, detector: Detector | None = None
    ) -> Iterator[PhotoCase]:
        """Bad photos of the largest face of each portrait, at each size that the portrait has.

        The degradations depend on the seed, the portrait's place in `paths` and the size alone.

        Raises:
            FacesError: no portrait shows a face of one of the sizes.
        """
        detector, sizes = detector or MTCNNDetector(min_face=48), check_sizes(sizes)
        found = False
        for number, path in enumerate(self.paths):
            name = printable(path.relative_to(self.folder).with_suffix("").as_posix())
            try:
                image = read_image(path)
            except ImageError as error:
                self.left_out[name] = str(error)
                continue
            faces = detector.detect(image)
            if not faces or faces[0].height < min(sizes):
                smallest = max(min(sizes), detector.min_face)
                self.left_out[name] = f"no face of at least {smallest:g} px"
                continue
            found = True
            if faces[0].height < HR_FACE:
                self.enlarged.append(name)
            for size in sizes:
                if faces[0].height >= size:
                    rng = np.random.default_rng((self.seed, number, size))
                    yield photo_case(name, image, faces[0], size, rng)
        if not found:
            raise FacesError(
                f"expected portraits with a face of at least {min(sizes)} px, got "
                f"{len(self.paths)} images without one (for example {name}: {self.left_out[name]})"
            )
