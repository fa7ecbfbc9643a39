"""Line art and flat colours."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from faceskd.pretrained import available_models, model_path
from faceskd.studio.errors import Refusal
from faceskd.studio.kinds.base import SCALE, Kind, Option, Outcome, Tools, Value
from faceskd.studio.settings import Settings

if TYPE_CHECKING:
    from faceskd.restore.whole_pictures import PictureRestorer

LEVELS = (("0", "None"), ("1", "Little"), ("2", "Some"), ("3", "Much"))
"""Levels of noise, and their titles; each has a network."""


class Drawing(Kind):
    """Removes the noise of JPEG compression from a drawing, and enlarges it."""

    name = "drawing"
    title = "Drawing"
    description = "For line art and flat colours. Removes the noise of compression, and enlarges."
    order = 3
    options = (
        replace(SCALE, maximum=4),
        Option(
            "noise",
            "Compression",
            "How much noise JPEG compression left around the lines.",
            "1",
            choices=LEVELS,
        ),
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        if settings.drawings:
            scale, noise = self.options
            levels = tuple(level for level in LEVELS if level[0] in settings.drawings)
            default = noise.default if noise.default in settings.drawings else levels[0][0]
            self.options = (scale, replace(noise, default=default, choices=levels))

    @property
    def available(self) -> bool:
        there = {model.name for model in available_models()}
        return bool(self.settings.drawings) or there >= {_model(level) for level, _ in LEVELS}

    def check(self, options: Mapping[str, Any]) -> dict[str, Value]:
        checked = super().check(options)
        if checked["scale"] == 1 and checked["noise"] == "0":
            text = "There is nothing to do. Enlarge the drawing, or choose how much noise it has."
            raise Refusal(422, "invalid", text)
        return checked

    def restore(
        self, tools: Tools, pictures: Sequence[np.ndarray], options: Mapping[str, Any]
    ) -> list[Outcome]:
        for picture in pictures:
            tools.check_size(picture, options["scale"])
        noise = options["noise"]
        weights = self.settings.drawings.get(noise) or model_path(_model(noise), role="scene")
        restorer = _restorer(weights, options["scale"], tools.device)
        return [Outcome(restorer(picture)) for picture in pictures]


@lru_cache(maxsize=len(LEVELS))  # the last used stay loaded, one for each level and scale
def _restorer(weights: Path, scale: float, device: str) -> "PictureRestorer":
    from faceskd.restore.whole_pictures import PictureRestorer

    return PictureRestorer(weights, scale=scale, device=device)


def _model(noise: str) -> str:
    return f"drawing-{noise}"
