"""Detect faces in a photo: MTCNN finds boxes and five landmarks, FAN finds 68 landmarks.

MTCNN: Zhang et al., "Joint Face Detection and Alignment using Multi-task Cascaded Convolutional
Networks", IEEE SPL 2016, as packaged with its weights in facenet-pytorch. FAN: Bulat and
Tzimiropoulos, "How far are we from solving the 2D & 3D Face Alignment problem?", ICCV 2017, in
the face-alignment package; its weights are downloaded on first use.

Landmarks and boxes are in continuous pixel coordinates: (0, 0) is the outer corner of the first
pixel, and its centre is (0.5, 0.5), as in RoIAlign with aligned=True.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.hub import hub_file
from faceskd.common.pickles import read_pickle
from faceskd.faces.tiles import Found, joined, search_tiles, without_doubles

WORKING_FACE = 32
"""Height of the smallest face to detect in the input of MTCNN, in pixels."""

LEAST_FACE = 20
"""Height of the smallest face that MTCNN can find, in pixels of its input."""

NOTHING: Found = (np.zeros((0, 4)), np.zeros(0), np.zeros((0, 5, 2)))

FAN_URL = "https://www.adrianbulat.com/downloads/python-fan/2DFAN4-11f355bf06.pth.tar"


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the picture, (4,) float32; may extend beyond its border.
        landmarks: 5 (`faceskd.faces.components.FIVE_POINTS`) or 68 points, (N, 2) float32, pixels.
        score: the detector's confidence, 0 to 1.
    """

    box: np.ndarray
    landmarks: np.ndarray
    score: float

    @property
    def width(self) -> float:
        return float(self.box[2] - self.box[0])

    @property
    def height(self) -> float:
        return float(self.box[3] - self.box[1])


class Detector(Protocol):
    """Interface of face detectors."""

    @property
    def min_face(self) -> float:
        """Height in pixels of the smallest face searched for."""

    def fetch(self) -> None:
        """Download the weights if they are missing, so that later work is not lost."""

    def detect(self, image: np.ndarray) -> list[Face]:
        """The faces of an RGB uint8 (H, W, 3) picture, largest first; empty if there is none."""


@dataclass
class MTCNNDetector:
    """Detects faces with five landmarks. The weights come with facenet-pytorch.

    The picture is resized so that the smallest face to detect has a height of `WORKING_FACE` pixels
    and the longer side has at most `max_side`. So tiny pictures, in which MTCNN would find nothing,
    are enlarged. If faces of `min_face` became too small for MTCNN, as in a panorama, the picture
    is searched in tiles instead, and reduced as a whole for the larger faces. In pictures larger
    than `max_side`, faces below 20 px are not found.

    MTCNN finds only faces that are upright or tilted by up to about 40 degrees. For others see
    `faceskd.faces.turns.AnyTurn`.

    Args:
        min_face: height of the smallest face to detect, in pixels of the picture; at least 1.
        max_side: longest side of the input of MTCNN, in pixels; at least 32.
        threshold: smallest confidence of a face, 0 to 1.

    Raises:
        ConfigError: a value is outside its range.
    """

    min_face: float = 64
    max_side: int = 2048
    threshold: float = 0.9

    def __post_init__(self) -> None:
        if not (math.isfinite(self.min_face) and self.min_face >= 1):
            raise ConfigError(f"expected a smallest face of at least 1 px, got {self.min_face:g}")
        if self.max_side < WORKING_FACE:
            raise ConfigError(
                f"expected max_side to be {WORKING_FACE} or more, got {self.max_side}"
            )
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"expected a threshold from 0 to 1, got {self.threshold}")

    def fetch(self) -> None:
        """Does nothing: the weights are part of facenet-pytorch."""

    @cached_property
    def _network(self):
        from facenet_pytorch import MTCNN

        return MTCNN(keep_all=True).eval()

    def __getstate__(self) -> dict[str, Any]:
        """The settings without the network, which is loaded again after unpickling."""
        return {name: value for name, value in self.__dict__.items() if name != "_network"}

    def detect(self, image: np.ndarray) -> list[Face]:
        """The faces of an RGB uint8 (H, W, 3) picture, largest first."""
        return self.search(image, self.min_face)

    def search(self, image: np.ndarray, min_face: float) -> list[Face]:
        """Like `detect`, for another height of the smallest face."""
        longest = max(image.shape[:2])
        smallest = max(min_face, LEAST_FACE)
        tile = int(self.max_side * smallest / LEAST_FACE)
        if longest <= tile:
            found = self._search(image, min_face, WORKING_FACE)
        else:
            large = (
                2 * LEAST_FACE * longest / self.max_side
            )  # faces of this height are found in the reduced picture
            overlap = min(round(2 * large), tile // 2)
            small = search_tiles(
                image, tile, overlap, lambda part: self._search(part, smallest, LEAST_FACE)
            )
            reduced = self._search(image, overlap / 2, WORKING_FACE)
            found = without_doubles(joined([reduced, small]))
        return [
            Face(box, landmarks, float(score))
            for box, score, landmarks in zip(*found, strict=True)
            if score >= self.threshold
        ]

    def _search(self, image: np.ndarray, min_face: float, working: float) -> Found:
        """Faces of a picture, which is resized so that `min_face` has at most `working` px."""
        height, width = image.shape[:2]
        factor = min(working / min_face, self.max_side / max(height, width))
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        least = max(min_face * factor, LEAST_FACE)
        if min(size) < least:
            return NOTHING
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        boxes, scores, points = self._run(cv2.resize(image, size, interpolation=method), least)
        scale = np.array([width / size[0], height / size[1]], dtype=np.float32)
        return boxes * np.tile(scale, 2), scores, points * scale

    def _run(self, image: np.ndarray, least: float) -> Found:
        self._network.min_face_size = least
        try:
            boxes, scores, points = self._network.detect(image, landmarks=True)
        except RuntimeError as error:
            if "non-empty" not in str(
                error
            ):  # facenet-pytorch concatenates an empty list of candidates
                raise
            boxes = None
        if boxes is None:
            return NOTHING
        return boxes.astype(np.float32), scores.astype(np.float32), points.astype(np.float32)


@dataclass
class FANLandmarks:
    """Detects faces with 68 landmarks: MTCNN finds the boxes, FAN the landmarks.

    Args:
        weights: file of 2DFAN-4. None: the file in torch hub's folder ($TORCH_HOME), which
            face-alignment also uses; it is downloaded if it is missing.
        min_face, max_side, threshold: see `MTCNNDetector`.

    Raises:
        ConfigError: a value is outside its range.
    """

    weights: str | None = None
    min_face: float = 64
    max_side: int = 2048
    threshold: float = 0.9

    def __post_init__(self) -> None:
        self._detector = MTCNNDetector(self.min_face, self.max_side, self.threshold)

    def fetch(self) -> None:
        """Load the weights; download them if they are missing.

        Raises:
            WeightsError: they are missing and cannot be downloaded, or are those of something else.
        """
        _ = self._network

    def __getstate__(self) -> dict[str, Any]:
        """As of `MTCNNDetector`."""
        return {name: value for name, value in self.__dict__.items() if name != "_network"}

    def _file(self) -> Path:
        if not self.weights:
            return hub_file(FAN_URL, otherwise="use landmarks=mtcnn, which needs no download")
        if not Path(self.weights).is_file():
            raise WeightsError(
                f"expected the weights of FAN (68 landmarks) at {self.weights!r}, but there is no "
                f"such file; get them from {FAN_URL}, or use landmarks=mtcnn"
            )
        return Path(self.weights)

    @cached_property
    def _network(self):
        from face_alignment import FaceAlignment, LandmarksType
        from face_alignment.models import FAN

        path = self._file()
        network = FAN(4)
        try:
            network.load_state_dict(read_pickle(path))
        except (RuntimeError, TypeError) as error:
            raise WeightsError(f"{str(path)!r} does not hold 2DFAN-4: {error}") from error

        class Alignment(FaceAlignment):
            def _load_native(self, *_: object) -> torch.nn.Module:
                return network.eval()

        # The "folder" detector loads nothing: faces are always passed in.
        return Alignment(LandmarksType.TWO_D, device="cpu", face_detector="folder", compile=False)

    def detect(self, image: np.ndarray) -> list[Face]:
        """The faces of an RGB uint8 (H, W, 3) picture, largest first, each with 68 landmarks."""
        faces = self._detector.detect(image)
        if not faces:
            return []
        points = self._network.get_landmarks_from_image(
            image, detected_faces=[face.box.tolist() for face in faces]
        )
        return [
            replace(face, landmarks=np.asarray(found, dtype=np.float32) + 0.5)
            for face, found in zip(faces, points, strict=True)
        ]
