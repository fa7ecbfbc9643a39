"""Whole photos: find faces, decide what each needs, put what was restored back.

The network stands between the two halves, `find_faces` and `put_back`, so that faces of many
photos share its batches.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faceskd.common.decoding import MAX_PIXELS
from faceskd.common.errors import ConfigError, ImageError
from faceskd.data.manifest import OK
from faceskd.faces.detection import Detector, Face, MTCNNDetector
from faceskd.faces.lr_faces import LR_SIZE
from faceskd.faces.turns import AnyTurn
from faceskd.restore.background import (
    BACKGROUNDS,
    LANCZOS,
    Enlarge,
    enlarged_background,
    enlarged_part,
)
from faceskd.restore.blend import Bounds, add_faces
from faceskd.restore.frame_face import examine_frame
from faceskd.restore.octaves import SIZE
from faceskd.restore.photo_face import AUTO, FACES, PhotoFace, aligned_face, examine

MIN_FACE = 24
"""Pixels; a smaller face shows too little of the person."""

MAX_SIDE, THRESHOLD = 4096, 0.95

MAX_SCALE = 8
MAX_RESULT_PIXELS = 4 * MAX_PIXELS

_detecting = threading.Lock()
"""Detectors hold state while they run."""


def _new_lock() -> None:
    """In a forked process nobody would release a lock that another thread held in its parent."""
    global _detecting
    _detecting = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


@dataclass(frozen=True)
class PhotoSettings:
    """What a photo is to become.

    Attributes:
        scale: pixels of the result for one of the photo, along each side, 1 to 8.
        strength: 1 adds all that restoring has to add, 0 nothing.
        only_center_face: restore only the face nearest to the centre.
        faces: "auto" restores what a face lacks; "force" replaces all detail of every face, however
            large and sharp it is, by the model's; "skip" leaves every face as it is.
        background: how what is no face is enlarged: "lanczos"; "scene" by a network; "none" only
            repeats pixels.
        frame: side of the frame in which a network of scale 1 restores a face, px; None for
            networks that take LR faces of 32 px.
        small_face: with a frame, faces smaller than this many pixels of the photo across are
            restored at 32 px all the same; 0: none.

    Raises:
        ConfigError: a number outside its range, or another word for `faces` or `background`.
    """

    scale: float = 2
    strength: float = 1
    only_center_face: bool = False
    faces: str = AUTO
    background: str = LANCZOS
    frame: int | None = None
    small_face: float = 0

    def __post_init__(self) -> None:
        if not 1 <= self.scale <= MAX_SCALE:
            raise ConfigError(f"expected a scale from 1 to {MAX_SCALE}, got {self.scale}")
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"expected a strength from 0 to 1, got {self.strength}")
        if self.faces not in FACES:
            raise ConfigError(f"expected faces as one of {', '.join(FACES)}, got {self.faces!r}")
        if self.background not in BACKGROUNDS:
            known = ", ".join(BACKGROUNDS)
            raise ConfigError(f"expected a background of {known}, got {self.background!r}")
        if not self.small_face >= 0:
            raise ConfigError(f"expected a small_face of at least 0 px, got {self.small_face}")

    def is_aligned(self, image: np.ndarray) -> bool:
        """Whether a picture is no photo but one aligned face, as the network takes it: 32x32 px."""
        return self.frame is None and image.shape[:2] == (LR_SIZE, LR_SIZE)

    def size(self, image: np.ndarray) -> tuple[int, int]:
        """Width and height of the result; of an aligned face of 32 px always 256x256.

        Raises:
            ImageError: it would have more than 600 megapixels.
        """
        if self.is_aligned(image):
            return SIZE, SIZE
        height, width = (round(side * self.scale) for side in image.shape[:2])
        if width * height > MAX_RESULT_PIXELS:
            raise ImageError(
                f"at scale {self.scale:g} the photo has {width}x{height} pixels, expected at most "
                f"{MAX_RESULT_PIXELS:,} in all; give a smaller scale"
            )
        return width, height


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


def photo_detector(min_face: float = MIN_FACE) -> AnyTurn:
    """MTCNN for whole photos: small faces, in any turn, and few mistakes.

    Photos with sides much over `MAX_SIDE` are searched in tiles.

    Raises:
        ConfigError: `min_face` is less than 1 px, or no number.
    """
    return AnyTurn(MTCNNDetector(min_face=min_face, max_side=MAX_SIDE, threshold=THRESHOLD))


def find_faces(image: np.ndarray, detector: Detector, settings: PhotoSettings) -> list[PhotoFace]:
    """The faces of a photo, RGB uint8 (H, W, 3), and what each lacks.

    A picture of 32x32 px is no photo but one aligned face, which is restored whole.
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
    """Cut a face out of its photo as the network for its size takes it."""
    if settings.frame is not None:
        framed = examine_frame(image, face, settings.frame, settings.faces)
        if framed.size >= settings.small_face:
            return framed
    return examine(image, face, settings.scale, settings.faces)


def network_inputs(image: np.ndarray, faces: Sequence[PhotoFace]) -> list[np.ndarray]:
    """What the network is to restore of each face whose status is "ok", RGB uint8.

    (32, 32, 3), or of a face with a frame of its own (side, side, 3).
    """
    return [face.network_input(image) for face in faces if face.status == OK]


def add_detail(
    faces: Sequence[PhotoFace], restored: Sequence[np.ndarray], strength: float
) -> list[PhotoFace]:
    """The faces, those whose status is "ok" with what restoring adds to them.

    Args:
        faces: from `find_faces`.
        restored: what the network made of their `network_inputs`, RGB uint8.
        strength: share of it, 0 to 1.
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
    """The photo, enlarged, with its restored faces. Of an aligned face of 32 px, that face.

    Args:
        image: RGB uint8 (H, W, 3).
        faces: from `add_detail`.
        settings: what the photo is to become.
        scene: enlarges the background, where the settings say "scene".

    Raises:
        ImageError: the result would have more than 600 megapixels.
        WeightsError: the settings say "scene", and there is no network for it.
    """
    if settings.is_aligned(image) and faces:
        return faces[0].restored
    height, width = image.shape[:2]
    size = settings.size(image)
    result = enlarged_background(image, size, settings.background, scene)
    to_photo = np.array([[width / size[0], 0, 0], [0, height / size[1], 0], [0, 0, 1]])
    patches = [patch for face in faces if (patch := face.patch(to_photo)) is not None]

    def enlarged(bounds: Bounds) -> np.ndarray:
        return enlarged_part(image, size, bounds)

    plain = settings.background == LANCZOS and all(patch.kept is None for patch in patches)
    add_faces(result, patches, None if plain else enlarged)
    return result
