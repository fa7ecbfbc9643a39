"""Landscapes of another kind: day to night, summer to winter."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceskd.studio.kinds.base import Kind, Option, Outcome, Tools
from faceskd.studio.settings import Settings
from faceskd.studio.translation import mark

if TYPE_CHECKING:
    from faceskd.restore.whole_pictures import Translator


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
        translate = _translator(self.settings.translations[options["into"]], tools.device)
        return [Outcome(translate(picture)) for picture in pictures]


@lru_cache(maxsize=4)  # a worker loads a network once, not for each batch of jobs
def _translator(weights: Path, device: str) -> "Translator":
    from faceskd.restore.whole_pictures import Translator

    return Translator(weights, device=device)
