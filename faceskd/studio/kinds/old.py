"""Old photographs: repaired, then their faces restored."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from faceskd.studio.kinds.base import SCALE, Kind, Option, Outcome, Tools
from faceskd.studio.kinds.photo import WholePhoto
from faceskd.studio.settings import Settings
from faceskd.studio.translation import mark

if TYPE_CHECKING:
    from faceskd.restore.old_photos import Repair

SCRATCHES = "scratches"


class OldPhotograph(Kind):
    """Repairs a whole old photo, then does as `WholePhoto`."""

    name = "old"
    title = "Old photograph"
    description = "Removes fading, stains and grain, restores the faces, and enlarges the photo."
    order = 4

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.options = (replace(SCALE, default=1.0),)
        if settings.scratch_model:
            self.options += (
                Option(
                    SCRATCHES,
                    mark("Scratches"),
                    mark("Finds scratches and folds, and fills them."),
                    True,
                ),
            )

    @property
    def available(self) -> bool:
        return bool(self.settings.old_model)

    def restore(
        self, tools: Tools, pictures: Sequence[np.ndarray], options: Mapping[str, Any]
    ) -> list[Outcome]:
        for picture in pictures:
            tools.check_size(picture, options["scale"])
        marked = options.get(SCRATCHES, False)
        scratches = self.settings.scratch_model if marked else None
        repair = _repair(self.settings.old_model, scratches, tools.device)
        photo = WholePhoto(self.settings)
        rest = photo.check({"scale": options["scale"]})
        return photo.restore(tools, [repair(picture, "")[0] for picture in pictures], rest)


@lru_cache(maxsize=2)  # with and without the detector: a worker loads each once
def _repair(weights: str, scratches: str | None, device: str) -> "Repair":
    from faceskd.restore.old_photos import Repair

    return Repair(weights, scratches=scratches, device=device)
