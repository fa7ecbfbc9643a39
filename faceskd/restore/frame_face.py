"""A face in a photo that is restored in a frame of its own, by a network of scale 1.

The network has seen faces of all sizes and faults, so it decides what a face lacks. Here is decided
what is taken over from its result: detail and light, but not the coarse colours, which stay the
photo's. A photo can also show what is finer than its frame holds: detail, or noise. Which of the
two is measured at the finest octave that the frame does hold, by what the network kept of it.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from faceskd.data.manifest import OK
from faceskd.faces.align import fit_similarity, template, warp
from faceskd.faces.components import five_points
from faceskd.faces.detection import Face
from faceskd.faces.pose import FRONT, PROFILE, pose
from faceskd.restore.blend import Patch
from faceskd.restore.octaves import frame_size
from faceskd.restore.photo_face import AUTO, FORCE, KEPT, SKIP, SKIPPED, PhotoFace

TEMPLATE_SCALE = 0.87
"""How large the face is in its frame (`faceskd.faces.align.template`): hair and chin are inside."""

FEATHER = 1 / 16
"""Width of the border over which changes fade out, as a share of the frame."""

LEAST_CHANGE = 0.3
"""A face that the network changes by less, in grey levels on average, is left as it is."""

COLOUR_PIXELS = 1.5
"""Colours coarser than a Gaussian of so many pixels of the photo are the photo's own ..."""

COLOUR_SHARE = 1 / 48
"""... and of this share of the frame, where the photo has more pixels than that."""

FINEST, AROUND = 0.7, 1 / 24
"""Sigmas: of what the finest octave is finer than, px of the photo, and of the area, of the frame.
"""

LITTLE = 0.5
"""Variance, in grey levels, below which a finest octave is too weak to tell anything."""

NOISIER = 8
"""By how much noise outweighs detail more in the next octave: white noise has four times the power
there, and a sharp face half of it (`faceskd.restore.octaves.SHARP_FACES`)."""


@dataclass(frozen=True, eq=False)
class FrameFace(PhotoFace):
    """A face that a network of scale 1 restores in a frame of `side` px; the rest as `PhotoFace`.

    `missing_octaves` are 0 or 1 together: all or nothing is left to the network.

    Attributes:
        kept: of what the photo shows beyond `crop`, the share that stays, float32 (side, side);
            None before the face was restored.
    """

    kept: np.ndarray | None = None

    @property
    def side(self) -> int:
        return self.crop.shape[0]

    @property
    def size(self) -> float:
        return frame_size(self.matrix, self.side)

    @property
    def message(self) -> str:
        if self.status == KEPT:
            return f"{self.size:.0f} px across, left as it is: the network found nothing to improve"
        return super().message

    def network_input(self, image: np.ndarray) -> np.ndarray:
        return self.crop

    def with_detail(self, restored: np.ndarray, strength: float) -> "FrameFace":
        addition = matched(self.crop, restored, colour_sigma(self.size, self.side))
        share = strength * float(self.missing_octaves.max())
        kept = np.zeros(self.crop.shape[:2], np.float32)
        if not self.forced:
            if np.abs(addition).mean() < LEAST_CHANGE:
                return replace(self, status=KEPT)
            kept = kept_share(self.crop, self.crop + addition, self.size)
        return replace(self, addition=share * addition, kept=1 - share * (1 - kept), status=OK)

    def patch(self, to_photo: np.ndarray) -> Patch | None:
        if self.addition is None:
            return None
        matrix = self.matrix @ to_photo
        return Patch(self.addition, matrix, self.crop, self.kept, feather=FEATHER)


def examine_frame(image: np.ndarray, face: Face, side: int, faces: str = AUTO) -> FrameFace:
    """Cut the frame of a face out of its photo.

    Args:
        image: the photo, RGB uint8 (H, W, 3).
        face: from a detector.
        side: of the frame, px.
        faces: "auto", "force" or "skip" (`faceskd.restore.photo.PhotoSettings`).
    """
    landmarks = five_points(face.landmarks)
    matrix = fit_similarity(landmarks, template(side, TEMPLATE_SCALE))
    seen = pose(landmarks)
    status = SKIPPED if faces == SKIP else OK if seen in (FRONT, PROFILE) else seen
    return FrameFace(
        box=face.box,
        landmarks=landmarks,
        score=face.score,
        matrix=matrix,
        crop=warp(image, matrix, side),
        missing_octaves=np.ones(4),
        status=status,
        forced=faces == FORCE,
    )


def colour_sigma(size: float, side: int) -> float:
    """The blur beyond which colours are the photo's, px of a frame that shows `size` of them."""
    return side * max(COLOUR_PIXELS / size, COLOUR_SHARE)


def matched(crop: np.ndarray, restored: np.ndarray, sigma: float) -> np.ndarray:
    """What a restored face adds to its crop, with the colours of the crop.

    Args:
        crop, restored: RGB uint8 (side, side, 3).
        sigma: colours coarser than a Gaussian of this width, px, are the crop's.

    Returns:
        float32 (side, side, 3), grey levels; grey where the crop is all grey.
    """
    difference = restored.astype(np.float32) - crop
    light = cv2.cvtColor(difference, cv2.COLOR_RGB2GRAY)[..., None]
    if (crop == crop[..., :1]).all():
        return np.repeat(light, 3, axis=2)
    colour = difference - light
    return light + colour - cv2.GaussianBlur(colour, (0, 0), sigma)


def kept_share(crop: np.ndarray, restored: np.ndarray, size: float) -> np.ndarray:
    """The share of what is finer than the crop that is detail, around each pixel.

    The slope of the regression of the restored face's finest octave on the crop's is the share of
    that octave which the network took for detail, not for noise. From it follows the share in the
    next octave, which the network has not seen.

    Args:
        crop: RGB uint8 (side, side, 3).
        restored: the same, restored, of any type.
        size: pixels of the photo that the frame shows along a side.

    Returns:
        float32 (side, side).
    """
    side = crop.shape[0]
    sigma = FINEST * max(side / size, 1)

    def finest(image: np.ndarray) -> np.ndarray:
        grey = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2GRAY)
        return grey - cv2.GaussianBlur(grey, (0, 0), sigma)

    def around(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (0, 0), AROUND * side)

    before, after = finest(crop), finest(restored)
    common, own = around(before * after), around(before * before)
    detail = np.clip((common + LITTLE) / (own + LITTLE), 0, 1)
    return detail / (detail + NOISIER * (1 - detail))
