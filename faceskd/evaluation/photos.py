"""Evaluate methods on whole photos.

A portrait is scaled so that its face has a known height; this is the HR photo. Smaller faces are
enlarged, so their HR photos are less sharp. The HR photo is blurred, reduced and compressed, and
noise is added, as in photos of a phone. The photo is restored and compared with the HR photo, in a
square around the face with 1.5 times the height of the face box. Plain Lanczos enlargement is also
measured, and results are relative to it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from faceskd.common.errors import ConfigError
from faceskd.common.images import to_tensor
from faceskd.data.degradation import jpeg
from faceskd.evaluation.evaluate import bootstrap_interval
from faceskd.evaluation.skin_tones import group_by_skin_tone
from faceskd.faces.detection import Face
from faceskd.metrics import MetricSuite
from faceskd.metrics.colour import TYPOLOGY_ANGLE
from faceskd.metrics.grid import GridIndex
from faceskd.metrics.niqe import Niqe
from faceskd.metrics.suite import Scores

SIZES = (16, 24, 40, 64, 100, 160, 250, 400)
"""Heights of the faces in the photos, in px."""

HR_FACE = 256
"""Height of the face in the HR photo, in px; `size` where this is larger."""

LARGEST_SCALE = 8.0
SQUARE = 1.5
"""Side of the square that is compared, relative to the height of the face box."""

LANCZOS, HR = "lanczos", "hr"
_HR_METRICS = (GridIndex.name, Niqe.name, TYPOLOGY_ANGLE)  # measured on the HR photo, too
PhotoMethod = Callable[[np.ndarray, float], np.ndarray]
"""Function: photo, RGB uint8 (H, W, 3), and scale -> restored photo, `scale` times as large."""


@dataclass(frozen=True, eq=False)
class PhotoCase:
    """A bad photo, made from a portrait.

    Attributes:
        name: name of the portrait.
        size: height of the face in `photo`, in px.
        photo: bad photo, RGB uint8.
        hr: HR photo, RGB uint8.
        face: the face in `hr`.
    """

    name: str
    size: int
    photo: np.ndarray
    hr: np.ndarray
    face: Face

    @property
    def scale(self) -> float:
        """The scale at which methods enlarge the photo, 1 to 8."""
        return float(np.clip(self.face.height / self.size, 1, LARGEST_SCALE))

    def square(self, photo: np.ndarray) -> np.ndarray:
        """The square to compare, cut from a photo after resizing it to the size of `hr`."""
        photo = resized(photo, self.hr.shape[1::-1])
        left, top, side = self._square()
        return photo[top : top + side, left : left + side]

    @property
    def landmarks(self) -> np.ndarray:
        """The five landmarks, (5, 2) float32, in pixels of the square."""
        left, top, _ = self._square()
        return (self.face.landmarks - (left, top)).astype(np.float32)

    def _square(self) -> tuple[int, int, int]:
        """Left, top and side of the square in pixels of `hr`, limited by the photo."""
        height, width = self.hr.shape[:2]
        side = min(round(SQUARE * self.face.height), height, width)
        centre = (self.face.box[:2] + self.face.box[2:]) / 2
        left, top = (round(float(c) - side / 2) for c in centre)
        return int(np.clip(left, 0, width - side)), int(np.clip(top, 0, height - side)), side


def photo_case(
    name: str, portrait: np.ndarray, face: Face, size: int, rng: np.random.Generator
) -> PhotoCase:
    """Make a bad photo from a portrait.

    The portrait is scaled so that its face has 256 px, or `size`, and made a `bad_photo`. A smaller
    face is enlarged to 256 px; details that the portrait lacks are then missing in `hr`, too.

    Args:
        name: name of the portrait.
        portrait: RGB uint8 (H, W, 3).
        face: face in the portrait.
        size: height of the face in the photo, in px.
        rng: random generator.

    Raises:
        ConfigError: the face in the portrait is smaller than `size`.
    """
    height = max(HR_FACE, size)
    if size < 1 or face.height < size:
        raise ConfigError(
            f"expected a portrait with a face of at least {size} px, got {face.height:.0f} ({name})"
        )
    factor = height / face.height
    hr = resized(portrait, [round(side * factor) for side in portrait.shape[1::-1]])
    scaled = Face(face.box * factor, face.landmarks * factor, face.score)
    photo = bad_photo(hr, rng, reduction=height / size)
    return PhotoCase(name, size, photo, hr, scaled)


def bad_photo(hr: np.ndarray, rng: np.random.Generator, *, reduction: float) -> np.ndarray:
    """A photo, RGB uint8 (H, W, 3), as a phone would take it, `reduction` times smaller.

    Gaussian blur with a standard deviation of 0.35 px of the result, reduction by area averaging,
    Gaussian noise of 1 to 5 levels, and JPEG with quality 55 to 90.
    """
    image = cv2.GaussianBlur(hr.astype(np.float32), (0, 0), 0.35 * reduction)
    sides = [max(round(side / reduction), 1) for side in hr.shape[1::-1]]
    image = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
    image = image + rng.uniform(1, 5) * rng.standard_normal(image.shape, np.float32)
    levels = np.clip(image, 0, 255).round().astype(np.uint8)
    return jpeg(levels, int(rng.integers(55, 91)))


def resized(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """An RGB uint8 image, resized to (width, height) with antialiased Lanczos."""
    if tuple(size) == image.shape[1::-1]:
        return image
    width, height = size
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


@dataclass(frozen=True)
class PhotoEvaluation:
    """Results of an evaluation on photos.

    Attributes:
        scores: results by size, then by method: Lanczos, the given methods, and "hr", for which
            only metrics of the HR photo alone are measured.
        unavailable: for each metric that could not be measured, the reason.
        left_out: for each portrait that could not be used, the reason.
    """

    scores: dict[int, dict[str, Scores]]
    unavailable: dict[str, str]
    left_out: dict[str, str] = field(default_factory=dict)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each size and method: means, and LPIPS and PSNR against Lanczos.

        `lpips_*_ratio` is the mean of the method divided by that of Lanczos. `psnr_gain` is in dB.
        `identity_below` is the share of faces with a lower identity than with Lanczos.
        """
        return [
            {"face": size, "method": method, "faces": len(scores.faces), **scores.summary()}
            | self._against_lanczos(size, scores)
            for size, methods in self.scores.items()
            for method, scores in methods.items()
        ]

    def _against_lanczos(self, size: int, scores: Scores) -> dict[str, float]:
        plain = self.scores[size][LANCZOS]
        figures: dict[str, float] = {}
        for name, values in scores.per_image.items():
            if name not in plain.per_image:
                continue
            came, base = np.array(values), np.array(plain.per_image[name])
            if name.startswith("lpips"):
                figures[f"{name}_ratio"] = float(came.mean() / max(base.mean(), 1e-9))
            elif name == "psnr":
                figures["psnr_gain"] = float((came - base).mean())
            elif name.startswith("identity"):
                figures["identity_gain"] = float((came - base).mean())
                figures["identity_below"] = float((came < base).mean())
        return figures

    def intervals(self) -> dict[int, dict[str, dict[str, tuple[float, float]]]]:
        """95 % bootstrap intervals of the differences to Lanczos, by size, method and metric."""
        found: dict[int, dict[str, dict[str, tuple[float, float]]]] = {}
        for size, methods in self.scores.items():
            plain = methods[LANCZOS].per_image
            found[size] = {
                method: {
                    name: bootstrap_interval(np.subtract(values, plain[name]).tolist())
                    for name, values in scores.per_image.items()
                    if name in plain and len(values) > 1
                }
                for method, scores in methods.items()
                if method not in (LANCZOS, HR)
            }
        return found

    def by_skin_tone(self) -> list[dict[str, Any]]:
        """One row for each size, method and third of the faces by skin tone; needs `ita`."""
        rows = []
        for size, methods in self.scores.items():
            angles = methods[HR].per_image.get(TYPOLOGY_ANGLE, [])
            for group in group_by_skin_tone(angles) if len(angles) >= 3 else []:
                for method, scores in methods.items():
                    means = {
                        name: float(np.mean([values[index] for index in group.faces]))
                        for name, values in scores.per_image.items()
                    }
                    rows.append({"face": size, "skin tone": group.name, "method": method} | means)
        return rows


def evaluate_photos(
    methods: Mapping[str, PhotoMethod],
    cases: Iterable[PhotoCase],
    metrics: MetricSuite,
    *,
    on_case: Callable[[PhotoCase, dict[str, np.ndarray]], None] = lambda case, squares: None,
) -> PhotoEvaluation:
    """Measure methods and Lanczos enlargement on whole photos.

    Args:
        methods: methods by their names in tables.
        cases: photos.
        metrics: the metrics to measure; this suite itself stays empty.
        on_case: called for each case with its squares, RGB uint8, to make pictures.

    Raises:
        ConfigError: the name of a method is reserved, or there is no case.
    """
    if taken := sorted({LANCZOS, HR} & set(methods)):
        raise ConfigError(
            f"expected a name other than {taken[0]!r} for a method: this name is reserved"
        )
    plain: PhotoMethod = _enlarged
    named = {LANCZOS: plain, **methods}
    suites: dict[int, dict[str, _Suites]] = {}
    metrics.load()
    for case in cases:
        of_size = suites.setdefault(case.size, {n: _Suites(metrics, n == HR) for n in (*named, HR)})
        squares = {
            name: case.square(method(case.photo, case.scale)) for name, method in named.items()
        }
        squares[HR] = case.square(case.hr)
        hr, points = to_tensor(squares[HR])[None], _points(case)
        for name, square in squares.items():
            of_size[name].update(to_tensor(square)[None], hr, points, [case.name])
        on_case(case, squares)
    if not suites:
        raise ConfigError("expected at least one photo to evaluate, got none")
    scores = {size: {n: s.compute() for n, s in of.items()} for size, of in sorted(suites.items())}
    return PhotoEvaluation(scores, dict(metrics.unavailable))


class _Suites:
    """Metrics of one method at one size. The grid index needs pictures of one size: it is measured
    in the middle `HR_FACE` px of each square."""

    def __init__(self, metrics: MetricSuite, of_hr: bool) -> None:
        names = [n for n in metrics.names if not of_hr or n in _HR_METRICS]
        self._whole = metrics.fresh([name for name in names if name != GridIndex.name])
        self._middle = metrics.fresh([name for name in names if name == GridIndex.name])

    def update(self, sr: Tensor, hr: Tensor, points: Tensor, names: list[str]) -> None:
        self._whole.update(sr, hr, points, names)
        middles = (_middle(sr), _middle(hr))
        if middles[0].shape[-2:] == (HR_FACE, HR_FACE):
            self._middle.update(*middles, points, names)

    def compute(self) -> Scores:
        scores = self._whole.compute()
        try:
            return replace(scores, per_set=scores.per_set | self._middle.compute().per_set)
        except ConfigError:  # no square is large enough
            return scores


def _middle(images: Tensor) -> Tensor:
    top, left = ((side - HR_FACE) // 2 for side in images.shape[-2:])
    return images[..., max(top, 0) :, max(left, 0) :][..., :HR_FACE, :HR_FACE]


def _enlarged(photo: np.ndarray, scale: float) -> np.ndarray:
    return resized(photo, [math.ceil(side * scale) for side in photo.shape[1::-1]])


def _points(case: PhotoCase) -> Tensor:
    return torch.from_numpy(case.landmarks)[None]
