"""Find faces that lie on their side or are upside down.

Detectors find only upright faces. 40 portraits were rotated by 90, 180 and 270 degrees. MTCNN
missed 100 of the 120 faces, and placed the landmarks of the other 20 wrongly.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from faceskd.faces.align import fit_similarity, template, transform_points, warp
from faceskd.faces.detection import Face, MTCNNDetector
from faceskd.faces.tiles import SAME_FACE, shared

SURE = 0.995
"""If all upright faces have at least this score, only large rotated faces are searched for."""

LARGE = 1 / 8
"""Height of the smallest of these, relative to the longer side of the photo."""

TILTED = 20
"""A face is tilted if its angle to the nearest multiple of 90 degrees is larger than this."""

FRAME, FRAME_SCALE = 160, 0.75
"""Side of the crop of a face rotated upright, in pixels, and scale of the face (`template`)."""


@dataclass
class AnyTurn:
    """A detector that finds faces at any angle.

    The photo is searched as it is, and after rotations by 90, 180 and 270 degrees. Each time,
    MTCNN finds faces tilted by up to about 45 degrees. If all upright faces have at least the score
    `SURE`, only rotated faces larger than `LARGE` are searched for, which takes little time. If
    detections overlap, the one with the highest score is used. In 65 pictures where a rotated
    portrait was found in two ways, this was always the right one.

    Landmarks of a face that is tilted by more than `TILTED` degrees are inaccurate. They are
    detected again after the face is rotated upright.

    Args:
        detector: detector of upright faces.
    """

    detector: MTCNNDetector

    @property
    def min_face(self) -> float:
        """Height of the smallest face to detect, in pixels."""
        return self.detector.min_face

    def fetch(self) -> None:
        """Download the weights if they are missing."""
        self.detector.fetch()

    def detect(self, image: np.ndarray) -> list[Face]:
        """The faces of an RGB uint8 (H, W, 3) picture, largest first.

        Left and right are as in the upright face: in a face upside down, the left eye is on the
        right of the picture.
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
        """The face; if it is tilted, with landmarks detected after rotating it upright."""
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
    """Convert a face found in `numpy.rot90(image, quarters)` to pixels of the image."""
    height, width = shape[:2]

    def back(points: np.ndarray) -> np.ndarray:
        x, y = points[:, 0], points[:, 1]
        before = {1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}[quarters]
        return np.stack(before, axis=1).astype(np.float32)

    corners = back(face.box.reshape(2, 2))
    box = np.concatenate([corners.min(0), corners.max(0)])
    return Face(box, back(face.landmarks), face.score)


def _without_doubles(found: list[list[Face]]) -> list[Face]:
    """For each face that was found at several rotations, the detection with the highest score.

    Within one rotation, MTCNN has removed duplicates already.
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
