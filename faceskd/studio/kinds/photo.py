"""All faces of a whole photo."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from faceskd.studio.kinds.base import SCALE, Kind, Option, Outcome, RestoredFace, Tools


class WholePhoto(Kind):
    """Finds all faces and restores what each lacks; the rest is enlarged."""

    name = "photo"
    title = "Whole photo"
    description = "Finds all faces, adds the detail that each lacks, and enlarges the photo."
    order = 1
    options = (
        SCALE,
        Option("strength", "Strength", "How much of the new detail is added.", 1.0, 0, 1, 0.05),
        Option(
            "faces",
            "Faces",
            "Which faces get new detail.",
            "auto",
            choices=(
                ("auto", "What each face lacks"),
                ("force", "All detail of every face"),
                ("skip", "Enlarge only"),
            ),
        ),
        Option(
            "only_center_face",
            "Only the face in the centre",
            "Leaves all other faces as they are.",
            False,
        ),
    )

    def restore(
        self, tools: Tools, pictures: Sequence[np.ndarray], options: Mapping[str, Any]
    ) -> list[Outcome]:
        from faceskd.restore.photo import PhotoSettings

        settings = PhotoSettings(**options)
        for picture in pictures:
            tools.check_size(picture, settings.scale)
        return [
            Outcome(
                photo.image,
                tuple(
                    RestoredFace(
                        tuple(float(side) for side in face.box),  # type: ignore[arg-type]
                        face.status,
                        face.addition is not None,
                        face.message,
                    )
                    for face in photo.faces
                ),
            )
            for photo in tools.restorer().photos(list(pictures), settings)
        ]
