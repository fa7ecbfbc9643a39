"""Whole photos: find faces, decide what each needs, put what was restored back.

The network stands between the two halves, `find_faces` and `put_back`, so that faces of many
photos share its batches.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from faceskd.common.errors import ConfigError, ImageError
from faceskd.common.images import MAX_PIXELS
from faceskd.data.manifest import OK
from faceskd.faces.align import fit_similarity, template, warp
from faceskd.faces.components import five_points
from faceskd.faces.detection import Detector, Face, MTCNNDetector
from faceskd.faces.lr_faces import LR_SIZE
from faceskd.restore.blend import add_faces
from faceskd.restore.octaves import SIZE, frame_size, lacking, lr_crop, missing_detail

SHARP, LARGE = "sharp", "large"

LEAST_LACKING = 0.05
"""A face that lacks less of every octave is left: nobody would see the difference."""

MIN_FACE = 24
"""Pixels; what is smaller says too little of a face."""

MAX_SIDE, THRESHOLD = 4096, 0.95

MAX_SCALE = 8
MAX_RESULT_PIXELS = 4 * MAX_PIXELS

_detecting = threading.Lock()
"""Detectors hold state while they run."""


@dataclass(frozen=True)
class PhotoSettings:
    """What a photo is to become.

    Attributes:
        scale: pixels of the result for one of the photo, along each side, 1 to 8.
        strength: 1 adds all that restoring has to add, 0 nothing.
        only_center_face: restore only the face nearest to the centre.

    Raises:
        ConfigError: a number outside its range.
    """

    scale: float = 2
    strength: float = 1
    only_center_face: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= MAX_SCALE:
            raise ConfigError(f"expected a scale from 1 to {MAX_SCALE}, got {self.scale}")
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"expected a strength from 0 to 1, got {self.strength}")

    def size(self, image: np.ndarray) -> tuple[int, int]:
        """Width and height of the result.

        Raises:
            ImageError: it would have more than 600 megapixels.
        """
        height, width = (round(side * self.scale) for side in image.shape[:2])
        if width * height > MAX_RESULT_PIXELS:
            raise ImageError(
                f"at scale {self.scale:g} the photo has {width}x{height} pixels, expected at most "
                f"{MAX_RESULT_PIXELS:,} in all; give a smaller scale"
            )
        return width, height


@dataclass(frozen=True, eq=False)
class PhotoFace:
    """A face in a photo.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the photo, (4,) float32.
        landmarks: the five points, (5, 2) float32, pixels of the photo.
        score: the detector's confidence, 0 to 1.
        matrix: (2, 3), from the photo to the aligned face of 256 px.
        crop: the aligned face as it is in the photo, RGB uint8 (256, 256, 3).
        missing_octaves: what it lacks of each octave (`faceskd.restore.octaves.lacking`), (4,).
        status: "ok": restored; "sharp": left, because it lacks nothing that the result could show;
            "large": left, because it has more pixels than restoring gives.
        addition: what restoring adds to `crop`, float32 (256, 256, 3), grey levels; None if the
            face was left, or not yet restored.
    """

    box: np.ndarray
    landmarks: np.ndarray
    score: float
    matrix: np.ndarray
    crop: np.ndarray
    missing_octaves: np.ndarray
    status: str
    addition: np.ndarray | None = None

    @property
    def size(self) -> float:
        """Pixels of the photo across the aligned face."""
        return frame_size(self.matrix)

    @property
    def restored(self) -> np.ndarray:
        """The aligned face as it is in the result, RGB uint8 (256, 256, 3)."""
        if self.addition is None:
            return self.crop
        return np.clip(np.rint(self.crop + self.addition), 0, 255).astype(np.uint8)

    @property
    def message(self) -> str:
        """A sentence that says why it was left; empty if it was restored."""
        if self.status == LARGE:
            return f"{self.size:.0f} px across, over the {SIZE} px that restoring gives: left"
        if self.status == SHARP:
            return f"{self.size:.0f} px across and as sharp as the result can show: left"
        return ""


@dataclass(frozen=True, eq=False)
class RestoredPhoto:
    """A whole photo, restored; `numpy.asarray` gives its image.

    Attributes:
        image: RGB uint8, (scale * H, scale * W, 3).
        faces: every face that was found, restored or left, largest first.
    """

    image: np.ndarray
    faces: list[PhotoFace] = field(default_factory=list)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.image, dtype=dtype, copy=copy)

    @property
    def boxes(self) -> np.ndarray:
        """Of all faces, in pixels of the photo that came: (N, 4) float32, x1, y1, x2, y2."""
        return np.array([face.box for face in self.faces], np.float32).reshape(-1, 4)


def photo_detector(min_face: float = MIN_FACE) -> MTCNNDetector:
    """MTCNN for whole photos: small faces, and few mistakes.

    Photos with a side over `MAX_SIDE` are searched reduced to it, smaller ones are enlarged.
    """
    return MTCNNDetector(min_face=min_face, max_side=MAX_SIDE, threshold=THRESHOLD)


def find_faces(image: np.ndarray, detector: Detector, settings: PhotoSettings) -> list[PhotoFace]:
    """The faces of a photo, RGB uint8 (H, W, 3), and what each lacks."""
    with _detecting:
        found = detector.detect(image)
    if settings.only_center_face and found:
        centre = np.array(image.shape[1::-1]) / 2
        middle = [np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - centre) for face in found]
        found = [found[int(np.argmin(middle))]]
    return [examine(image, face, settings) for face in found]


def examine(image: np.ndarray, face: Face, settings: PhotoSettings) -> PhotoFace:
    """Cut a face out of its photo and decide what it needs."""
    landmarks = five_points(face.landmarks)
    matrix = fit_similarity(landmarks, template(SIZE))
    crop, size = warp(image, matrix, SIZE), frame_size(matrix)
    weights = lacking(crop, size * settings.scale)
    status = status_of(weights, size)
    return PhotoFace(face.box, landmarks, face.score, matrix, crop, weights, status)


def status_of(weights: np.ndarray, size: float) -> str:
    """Whether a face is to be restored or left, from what it lacks and its pixels across."""
    if size > SIZE:
        return LARGE
    return OK if weights.max() >= LEAST_LACKING else SHARP


def lr_faces(image: np.ndarray, faces: Sequence[PhotoFace]) -> list[np.ndarray]:
    """What the network is to restore: RGB uint8 (32, 32, 3) for each face whose status is "ok"."""
    return [lr_crop(image, face.matrix, LR_SIZE) for face in faces if face.status == OK]


def add_detail(
    faces: Sequence[PhotoFace], restored: Sequence[np.ndarray], strength: float
) -> list[PhotoFace]:
    """The faces, those whose status is "ok" with what restoring adds to them.

    Args:
        faces: from `find_faces`.
        restored: what the network made of their `lr_faces`, RGB uint8 (256, 256, 3) each.
        strength: share of it, 0 to 1.
    """
    results = iter(restored)
    return [
        replace(
            face, addition=strength * missing_detail(face.crop, next(results), face.missing_octaves)
        )
        if face.status == OK
        else face
        for face in faces
    ]


def put_back(image: np.ndarray, faces: Sequence[PhotoFace], settings: PhotoSettings) -> np.ndarray:
    """The photo, enlarged by Lanczos, with what was added to its faces.

    Raises:
        ImageError: the result would have more than 600 megapixels.
    """
    height, width = image.shape[:2]
    size = settings.size(image)
    result = np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    to_photo = np.array([[width / size[0], 0, 0], [0, height / size[1], 0], [0, 0, 1]])
    done = [(face.addition, face.matrix @ to_photo) for face in faces if face.addition is not None]
    add_faces(result, done)
    return result
