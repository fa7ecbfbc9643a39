"""One face that fills the picture, as in a portrait that was cut out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from faceskd.studio.kinds.base import Kind, Outcome, RestoredFace, Tools


class AlignedFace(Kind):
    """The largest central square as one aligned face, 256x256 pixels."""

    name = "face"
    title = "One face"
    description = (
        "For a picture that one small, upright face fills. Enlarges it to 256 pixels. All detail "
        "is new."
    )
    order = 2
    square = True

    def restore(
        self, tools: Tools, pictures: Sequence[np.ndarray], options: Mapping[str, Any]
    ) -> list[Outcome]:
        from faceskd.faces.lr_faces import to_lr

        restored = tools.face_restorer().restore_faces([to_lr(picture) for picture in pictures])
        outcomes = []
        for picture, face in zip(pictures, restored, strict=True):
            height, width = picture.shape[:2]
            side = min(height, width)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side)
            outcomes.append(Outcome(face, (RestoredFace(box, "ok", True),)))
        return outcomes
