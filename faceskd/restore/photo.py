"""Whole photos: find the faces, decide what each one needs, and put the restored faces back.

The network runs between `find_faces` and `put_back`, so that faces of several photos can be in one
batch.
"""

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from faceskd.common.checks import check_choice
from faceskd.common.errors import ConfigError
from faceskd.data.manifest import OK
from faceskd.faces.detection import Detector, Face, MTCNNDetector
from faceskd.faces.lr_faces import LR_SIZE
from faceskd.faces.turns import AnyTurn
from faceskd.restore.background import (
    BACKGROUNDS,
    LANCZOS,
    Enlarge,
    check_result,
    enlarged_background,
    enlarged_part,
)
from faceskd.restore.blend import add_faces
from faceskd.restore.frame_face import examine_frame
from faceskd.restore.octaves import SIZE
from faceskd.restore.photo_face import AUTO, FACES, PhotoFace, aligned_face, examine

MIN_FACE = 24
"""Height in px. Smaller faces show too little of the person and are not restored."""

MAX_SIDE, THRESHOLD = 4096, 0.95

MAX_SCALE = 8

_detecting = threading.Lock()
"""Detectors have state while they run, so only one thread at a time may use them."""


def _new_lock() -> None:
    """A new lock for a forked process: no thread there would release a lock held in the parent."""
    global _detecting
    _detecting = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


@dataclass(frozen=True)
class PhotoSettings:
    """How a photo is restored.

    Attributes:
        scale: width of the result divided by the width of the photo, 1 to 8.
        strength: how much of the restored detail is added, 0 (none) to 1 (all).
        only_center_face: restore only the face nearest to the centre.
        faces: "auto" adds the detail that a face lacks; "force" replaces the detail of every face,
            even of large and sharp ones; "skip" does not change any face.
        background: how everything except faces is enlarged: "lanczos", "scene" (by a network) or
            "none" (pixels are repeated).
        frame: side in px of the frame in which a network of scale 1 restores a face; None for
            networks that take LR faces of 32 px.

    Raises:
        ConfigError: a number is outside its range, or `faces` or `background` is unknown.
    """

    scale: float = 2
    strength: float = 1
    only_center_face: bool = False
    faces: str = AUTO
    background: str = LANCZOS
    frame: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= MAX_SCALE:
            raise ConfigError(f"expected a scale from 1 to {MAX_SCALE}, got {self.scale}")
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"expected a strength from 0 to 1, got {self.strength}")
        check_choice(FACES, faces=self.faces)
        check_choice(BACKGROUNDS, background=self.background)

    def is_aligned(self, image: np.ndarray) -> bool:
        """Whether the image is one aligned face of 32x32 px, the input of the network."""
        return self.frame is None and image.shape[:2] == (LR_SIZE, LR_SIZE)

    def size(self, image: np.ndarray) -> tuple[int, int]:
        """Width and height of the result. An aligned face of 32 px always gives 256x256.

        Raises:
            ImageError: the result would have more than 600 megapixels.
        """
        if self.is_aligned(image):
            return SIZE, SIZE
        height, width = (round(side * self.scale) for side in image.shape[:2])
        check_result(width, height)
        return width, height


@dataclass(frozen=True, eq=False)
class RestoredPhoto:
    """A restored photo; `numpy.asarray` gives its image.

    Attributes:
        image: RGB uint8, (scale * H, scale * W, 3).
        faces: all faces that were found, restored or not, largest first.
    """

    image: np.ndarray
    faces: list[PhotoFace] = field(default_factory=list)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.image, dtype=dtype, copy=copy)

    @property
    def boxes(self) -> np.ndarray:
        """Boxes of all faces in pixels of the input photo: (N, 4) float32, x1, y1, x2, y2."""
        return np.array([face.box for face in self.faces], np.float32).reshape(-1, 4)


def photo_detector(min_face: float = MIN_FACE) -> AnyTurn:
    """MTCNN for whole photos: it finds small and rotated faces, with few false detections.

    Photos with sides much longer than `MAX_SIDE` are searched in tiles.

    Raises:
        ConfigError: `min_face` is less than 1 px, or not a number.
    """
    return AnyTurn(MTCNNDetector(min_face=min_face, max_side=MAX_SIDE, threshold=THRESHOLD))


def find_faces(image: np.ndarray, detector: Detector, settings: PhotoSettings) -> list[PhotoFace]:
    """Find the faces of a photo, RGB uint8 (H, W, 3), and the detail that each one lacks.

    An image of 32x32 px is treated as one aligned face, which is restored as a whole.
    """
    if settings.is_aligned(image):
        return [aligned_face(image, settings.faces)]
    with _detecting:
        found = detector.detect(image)
    if settings.only_center_face and found:
        centre = np.array(image.shape[1::-1]) / 2
        middle = [np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - centre) for face in found]
        found = [found[int(np.argmin(middle))]]
    return [examine_face(image, face, settings) for face in found]


def examine_face(image: np.ndarray, face: Face, settings: PhotoSettings) -> PhotoFace:
    """Cut a face out of its photo, at the size that its network needs."""
    if settings.frame is not None:
        return examine_frame(image, face, settings.frame, settings.faces)
    return examine(image, face, settings.scale, settings.faces)


def network_inputs(image: np.ndarray, faces: Sequence[PhotoFace]) -> list[np.ndarray]:
    """The inputs of the network: one for each face whose status is "ok".

    RGB uint8, (32, 32, 3), or (side, side, 3) for a face in a frame.
    """
    return [face.network_input(image) for face in faces if face.status == OK]


def add_detail(
    faces: Sequence[PhotoFace], restored: Iterable[np.ndarray], strength: float
) -> list[PhotoFace]:
    """All faces; those whose status is "ok" get the detail that restoring adds.

    Args:
        faces: from `find_faces`.
        restored: outputs of the network for `network_inputs`, RGB uint8.
        strength: how much of the detail is added, 0 to 1.
    """
    results = iter(restored)
    return [
        face.with_detail(next(results), strength) if face.status == OK else face for face in faces
    ]


def put_back(
    image: np.ndarray,
    faces: Sequence[PhotoFace],
    settings: PhotoSettings,
    scene: Enlarge | None = None,
) -> np.ndarray:
    """Enlarge a photo and put its restored faces into it. An aligned face gives only that face.

    Args:
        image: RGB uint8 (H, W, 3).
        faces: from `add_detail`.
        settings: how the photo is restored.
        scene: enlarges the background if `settings.background` is "scene".

    Raises:
        ImageError: the result would have more than 600 megapixels.
        WeightsError: `settings.background` is "scene", but there is no network for it.
    """
    if settings.is_aligned(image) and faces:
        return faces[0].restored
    height, width = image.shape[:2]
    size = settings.size(image)
    result = enlarged_background(image, size, settings.background, scene)
    to_photo = np.array([[width / size[0], 0, 0], [0, height / size[1], 0], [0, 0, 1]])
    patches = [patch for face in faces if (patch := face.patch(to_photo)) is not None]
    plain = settings.background == LANCZOS and all(patch.kept is None for patch in patches)
    enlarged = None if plain else partial(enlarged_part, Image.fromarray(image), size)
    add_faces(result, patches, enlarged)
    return result
