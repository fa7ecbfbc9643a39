"""What a kind of restoration is.

The server imports all kinds to show their options, but never PyTorch, which takes half a gigabyte
and seconds to import: what needs it is imported where it is used.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from faceskd.studio.errors import Refusal
from faceskd.studio.problems import Problem
from faceskd.studio.settings import Settings

if TYPE_CHECKING:
    from faceskd.restore.restorer import Restorer

Value = float | str | bool


@dataclass(frozen=True)
class Option:
    """A setting of a kind, which the user chooses.

    Attributes:
        name: of the setting, for programs.
        title, description: for the user, in English; they are translated where they are shown.
        default: also tells the type: a number, a word or yes/no.
        minimum, maximum, step: of a number.
        choices: words and their titles, of a word.
    """

    name: str
    title: str
    description: str
    default: Value
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[tuple[str, str], ...] = ()

    @property
    def type(self) -> str:
        """ "flag", "number" or "choice"."""
        if isinstance(self.default, bool):
            return "flag"
        return "choice" if self.choices else "number"

    def check(self, value: Any) -> Value:
        """The value, as the kind takes it; texts of forms are read.

        Raises:
            Refusal: it is not of the type, outside the range, or not a choice.
        """
        if self.type == "flag":
            words = {"true": True, "on": True, "1": True, "false": False, "": False, "0": False}
            if isinstance(value, str):
                value = words.get(value.lower())
            if not isinstance(value, bool):
                raise self._refusal("yes or no")
            return value
        if self.type == "choice":
            names = [name for name, _ in self.choices]
            if value not in names:
                raise self._refusal(", ".join(names))
            return str(value)
        try:
            number = float("nan") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = float("nan")
        low, high = self.minimum or 0.0, self.maximum or 0.0
        if not low <= number <= high:
            raise self._refusal(f"{low:g} – {high:g}")
        return number

    def _refusal(self, wanted: str) -> Refusal:
        text = "The setting {name} must be: {wanted}."
        return Refusal(422, "invalid", text, name=self.name, wanted=wanted)


SCALE = Option("scale", "Enlarge", "How many times as wide and high.", 2.0, 1, 8, 0.5)
"""The setting of kinds that enlarge."""


@dataclass(frozen=True)
class RestoredFace:
    """What is told of a face: its box (x1, y1, x2, y2 in pixels) and what became of it."""

    box: tuple[float, float, float, float]
    status: str
    restored: bool
    message: str = ""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a picture: RGB uint8 (H, W, 3), and its faces."""

    image: np.ndarray
    faces: tuple[RestoredFace, ...] = field(default=())


@dataclass
class Tools:
    """What kinds may use.

    Attributes:
        restorer: gives the restorer of photos; raises WeightsError where there are no weights.
        face_restorer: the same for faces of 32 px.
        max_pixels: of a result.
        device: where networks run, as PyTorch names it.
    """

    restorer: "Callable[[], Restorer]"
    face_restorer: "Callable[[], Restorer]"
    max_pixels: int
    device: str = "cpu"

    def check_size(self, picture: np.ndarray, scale: float) -> None:
        """Raise a Problem for a picture whose result would have more than `max_pixels`."""
        height, width = (round(side * scale) for side in picture.shape[:2])
        if height * width > self.max_pixels:
            raise Problem("result_too_large", limit=f"{self.max_pixels:,}")


class Kind(ABC):
    """A kind of restoration.

    Args:
        settings: those of the studio; they can name weights files.

    Attributes:
        name: for programs, never changed: jobs in the database name it.
        title, description: for the user, in English.
        options: what the user can set.
        order: where it stands in lists.
        keeps_file: the result is the file that came, byte for byte, where nothing was cut out.
        square: of a picture, only the largest central square is taken.
    """

    name: str
    title: str
    description: str
    options: tuple[Option, ...] = ()
    order: int = 100
    keeps_file: bool = False
    square: bool = False

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def available(self) -> bool:
        """Whether the studio has what the kind needs, such as weights."""
        return True

    @abstractmethod
    def restore(
        self, tools: Tools, pictures: Sequence[np.ndarray], options: Mapping[str, Any]
    ) -> list[Outcome]:
        """Restore pictures, RGB uint8 (H, W, 3), that all have the same options.

        Raises:
            FaceskdError: it cannot be done; the message is shown to the user.
        """

    def check(self, options: Mapping[str, Any]) -> dict[str, Value]:
        """All options, those not given by their defaults.

        Raises:
            Refusal: an option that there is not, or a value that it cannot have.
        """
        known = {option.name: option for option in self.options}
        for name in options:
            if name not in known:
                wanted = ", ".join(known) or "–"
                text = "There is no setting {name}. There are: {wanted}."
                raise Refusal(422, "invalid", text, name=str(name)[:50], wanted=wanted)
        return {
            name: option.check(options[name]) if name in options else option.default
            for name, option in known.items()
        }
