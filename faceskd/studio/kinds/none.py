"""Leave a photo as it is: to compare with, to share a crop of it, or to test the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from faceskd.studio.kinds.base import Kind, Outcome, Tools


class Original(Kind):
    """The photo as it came."""

    name = "none"
    title = "Original"
    description = "Leaves the photo as it is."
    order = 100
    keeps_file = True

    def restore(
        self, tools: Tools, pictures: Sequence[np.ndarray], options: Mapping[str, Any]
    ) -> list[Outcome]:
        return [Outcome(picture) for picture in pictures]
