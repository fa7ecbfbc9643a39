"""A face in a photo: where it is, what it lacks, what restoring adds to it, and what is said."""

from dataclasses import dataclass, replace

import numpy as np

from faceskd.data.manifest import OK
from faceskd.faces.align import fit_similarity, template, warp
from faceskd.faces.components import five_points
from faceskd.faces.detection import Face
from faceskd.faces.lr_faces import LR_SIZE
from faceskd.faces.pose import FRONT, PROFILE, UNSURE, pose
from faceskd.restore.blend import Patch
from faceskd.restore.octaves import SIZE, frame_size, improvable, lacking, lr_crop, missing_detail

PARTLY, KEPT, SKIPPED = "partly", "kept", "skipped"
AUTO, FORCE, SKIP = FACES = ("auto", "force", "skip")

LEAST_LACKING = 0.05
"""A face that lacks less of every octave is left: nobody would see the difference."""

MOSTLY = 0.5
"""A face of which the network gives less than this share of every octave is restored in part."""

MESSAGES = {
    PARTLY: "restored in part: this model improves only its finest detail; noise and blocks stay",
    KEPT: "left as it is: its fine detail, or its noise, is beyond what this model improves",
    PROFILE: "left as it is: seen from the side, and this model restores faces with two eyes",
    UNSURE: "left as it is: the landmarks found do not lie as those of a face",
    SKIPPED: "left as it is, as asked",
}


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
        status: "ok": to be restored, or restored; "partly": restored, but only a small share of its
            finest detail was replaced; "kept": left, because the model has nothing to add to what
            was measured, be it detail or noise; "profile": left, because it is seen from the side;
            "unsure": left, because its landmarks cannot be a face's; "skipped": left, as asked.
        forced: replace every octave, whatever the face has there.
        whole: the picture is an aligned face of 32 px: light and colour are replaced too.
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
    forced: bool = False
    whole: bool = False
    addition: np.ndarray | None = None

    @property
    def size(self) -> float:
        """Pixels of the photo across the aligned face."""
        return frame_size(self.matrix)

    @property
    def restored(self) -> np.ndarray:
        """The aligned face as it is in the result, RGB uint8, as large as `crop`."""
        if self.addition is None:
            return self.crop
        return np.clip(np.rint(self.crop + self.addition), 0, 255).astype(np.uint8)

    @property
    def message(self) -> str:
        """A sentence that says what was not done, and why; empty if it was restored."""
        message = MESSAGES.get(self.status, "")
        return f"{self.size:.0f} px across, {message}" if message else ""

    def network_input(self, image: np.ndarray) -> np.ndarray:
        """What the network is to restore: of the photo `image`, RGB uint8 (32, 32, 3)."""
        return lr_crop(image, self.matrix, LR_SIZE)

    def patch(self, to_photo: np.ndarray) -> Patch | None:
        """What becomes of it in the result; None if it was left.

        Args:
            to_photo: (3, 3), from the result to the photo.
        """
        return None if self.addition is None else Patch(self.addition, self.matrix @ to_photo)

    def with_detail(self, restored: np.ndarray, strength: float) -> "PhotoFace":
        """The face with what the network adds, and the status that follows from how much that is.

        Args:
            restored: what the network made of it, RGB uint8 (256, 256, 3).
            strength: share of the addition, 0 to 1.
        """
        if self.whole:
            return replace(self, addition=strength * (restored.astype(np.float32) - self.crop))
        weights = self.missing_octaves
        if not self.forced:
            weights = improvable(self.crop, restored, weights)
        if weights.max() < LEAST_LACKING:
            return replace(self, status=KEPT)
        addition = strength * missing_detail(self.crop, restored, weights)
        return replace(self, status=OK if weights.max() >= MOSTLY else PARTLY, addition=addition)


def examine(image: np.ndarray, face: Face, scale: float, faces: str = AUTO) -> PhotoFace:
    """Cut a face out of its photo and decide what it needs.

    Args:
        image: the photo, RGB uint8 (H, W, 3).
        face: from a detector.
        scale: pixels of the result for one of the photo.
        faces: "auto", "force" or "skip" (`faceskd.restore.photo.PhotoSettings`).
    """
    landmarks = five_points(face.landmarks)
    matrix = fit_similarity(landmarks, template(SIZE))
    crop = warp(image, matrix, SIZE)
    forced = faces == FORCE
    weights = np.ones(4) if forced else lacking(crop, frame_size(matrix) * scale)
    status = OK if weights.max() >= LEAST_LACKING else KEPT
    if (seen := pose(landmarks)) != FRONT:
        status = seen
    if faces == SKIP:
        status = SKIPPED
    return PhotoFace(face.box, landmarks, face.score, matrix, crop, weights, status, forced=forced)


def aligned_face(image: np.ndarray, faces: str = AUTO) -> PhotoFace:
    """A picture of 32x32 px, which is one aligned face, as that face."""
    matrix = np.eye(2, 3) * (SIZE / LR_SIZE)
    box = np.array([0, 0, LR_SIZE, LR_SIZE], np.float32)
    points = template(LR_SIZE).astype(np.float32)
    status = SKIPPED if faces == SKIP else OK
    crop = warp(image, matrix, SIZE)
    return PhotoFace(box, points, 1.0, matrix, crop, np.ones(4), status, whole=True)
