"""A face in a photo: its position, the detail it lacks, and the detail that restoring adds."""

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
"""A face that lacks less than this in every octave is not changed: no one would notice."""

MOSTLY = 0.5
"""If less than this share of every octave is replaced, the status is "partly"."""

MESSAGES = {
    PARTLY: "restored in part: this model improves only the finest detail; noise and blocks remain",
    KEPT: "left as it is: this model cannot improve its detail, or its noise",
    PROFILE: "left as it is: seen from the side; this model needs to see both eyes",
    UNSURE: "left as it is: the landmarks do not have the shape of a face",
    SKIPPED: "left as it is, as asked",
}


@dataclass(frozen=True, eq=False)
class PhotoFace:
    """A face in a photo.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the photo, (4,) float32.
        landmarks: five points in pixels of the photo, (5, 2) float32.
        score: confidence of the detector, 0 to 1.
        matrix: maps the photo to the aligned face of 256 px, (2, 3).
        crop: the aligned face in the photo, before restoring, RGB uint8 (256, 256, 3).
        missing_octaves: how much it lacks in each octave (`faceskd.restore.octaves.lacking`), (4,).
        status: "ok": restored, or to be restored. "partly": restored, but only a small share of the
            finest detail was replaced. The others are not changed: "kept": the model has nothing to
            add to its detail, or to its noise; "profile": seen from the side; "unsure": the
            landmarks do not have the shape of a face; "skipped": the user asked for it.
        forced: replace all octaves, even those that the face has.
        whole: the image is an aligned face of 32 px; light and colour are replaced, too.
        addition: what restoring adds to `crop`, in grey levels, float32 (256, 256, 3); None if the
            face is not changed, or not restored yet.
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
        """Side of the aligned face in pixels of the photo."""
        return frame_size(self.matrix)

    @property
    def restored(self) -> np.ndarray:
        """The aligned face after restoring, RGB uint8, as large as `crop`."""
        if self.addition is None:
            return self.crop
        return np.clip(np.rint(self.crop + self.addition), 0, 255).astype(np.uint8)

    @property
    def message(self) -> str:
        """Why the face was not, or not fully, restored; empty if it was."""
        message = MESSAGES.get(self.status, "")
        return f"{self.size:.0f} px across, {message}" if message else ""

    def network_input(self, image: np.ndarray) -> np.ndarray:
        """The input of the network, cut out of the photo `image`: RGB uint8 (32, 32, 3)."""
        return lr_crop(image, self.matrix, LR_SIZE)

    def patch(self, to_photo: np.ndarray) -> Patch | None:
        """How the face changes the result; None if it is not changed.

        Args:
            to_photo: maps the result to the photo, (3, 3).
        """
        return None if self.addition is None else Patch(self.addition, self.matrix @ to_photo)

    def with_detail(self, restored: np.ndarray, strength: float) -> "PhotoFace":
        """The face with the detail of the restored one, and a status that says how much it is.

        Args:
            restored: the output of the network, RGB uint8 (256, 256, 3).
            strength: how much of the detail is added, 0 to 1.
        """
        if self.whole:
            return replace(self, addition=strength * (restored.astype(np.float32) - self.crop))
        weights = self.missing_octaves
        if not self.forced:
            weights = improvable(self.crop, restored, weights)
        most = weights[1:].max()  # `missing_detail` does not use the first
        if most < LEAST_LACKING:
            return replace(self, status=KEPT)
        addition = strength * missing_detail(self.crop, restored, weights)
        return replace(self, status=OK if most >= MOSTLY else PARTLY, addition=addition)


def examine(image: np.ndarray, face: Face, scale: float, faces: str = AUTO) -> PhotoFace:
    """Cut a face out of its photo and decide what it needs.

    Args:
        image: the photo, RGB uint8 (H, W, 3).
        face: from a detector.
        scale: width of the result divided by the width of the photo.
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
    """The face of an image of 32x32 px, which is one aligned face."""
    matrix = np.eye(2, 3) * (SIZE / LR_SIZE)
    box = np.array([0, 0, LR_SIZE, LR_SIZE], np.float32)
    points = template(LR_SIZE).astype(np.float32)
    status = SKIPPED if faces == SKIP else OK
    crop = warp(image, matrix, SIZE)
    return PhotoFace(box, points, 1.0, matrix, crop, np.ones(4), status, whole=True)
