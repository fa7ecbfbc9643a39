"""Landscapes of another kind: day to night, summer to winter."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from faceskd.studio.kinds.base import Kind, Option, Outcome, Tools
from faceskd.studio.settings import Settings
from faceskd.studio.translation import mark


class Translation(Kind):
    """A picture translated by one of the operator's networks, at its size."""

    name = "translation"
    title = "Another season"
    description = "Turns a landscape into one of another kind, such as day into night."
    order = 5

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if settings.translations:
            titles = tuple((title, title) for title in settings.translations)
            self.options = (
                Option(
                    "into", mark("Into"), mark("What it becomes."), titles[0][0], choices=titles
                ),
            )

    @property
    def available(self) -> bool:
        return bool(self.settings.translations)

    def restore(
        self, tools: Tools, pictures: Sequence[np.ndarray], options: Mapping[str, Any]
    ) -> list[Outcome]:
        from faceskd.restore.whole_pictures import Translator

        translate = Translator(self.settings.translations[options["into"]], device=tools.device)
        return [Outcome(translate(picture)) for picture in pictures]
