"""What can go wrong with a photo or a job.

A code and values are stored, never a text: the text is made where it is shown, in the language of
the reader. `Problem.text` is the key of the catalogues (`faceskd.studio.translation`).
"""

from collections.abc import Mapping
from typing import Any

from faceskd.common.errors import DiskFullError, FaceskdError, WeightsError, causes
from faceskd.studio.errors import DISK_FULL, QUOTA, Refusal
from faceskd.studio.translation import mark

TEXTS = {
    "unreadable": mark("The file is damaged, incomplete, or no photo."),
    "too_many_pixels": mark("The photo has more than {limit} pixels, the most that is accepted."),
    "crop_outside": mark("The square is not inside the photo."),
    "result_too_large": mark(
        "The result would have more than {limit} pixels, the most that is possible. Choose a "
        "smaller enlargement."
    ),
    "photo_deleted": mark("The photo was deleted before the job was done."),
    "workers_died": mark(
        "Given up after {attempts} attempts: each time the worker stopped unexpectedly."
    ),
    "unknown_kind": mark(
        "The workers do not know this kind of restoration. They may be older than the server."
    ),
    "no_model": mark("The model cannot be loaded. Ask the operator. ({reason})"),
    "file_away": mark(
        "The file of the photo cannot be read at present. Ask the operator: the storage folder may "
        "be away, or another one."
    ),
    "no_memory": mark("There was not enough memory for the photo."),
    "disk_full": DISK_FULL,
    "quota": QUOTA,
    "failed": mark("The photo cannot be restored: {reason}"),
    "unexpected": mark(
        "Something went wrong that should not ({reason}). It was written down for the operator."
    ),
}
"""English texts by code. A code is never taken out or given another meaning: rows name it."""

PASSING = frozenset({"disk_full", "file_away", "no_memory", "unexpected"})
"""Codes of what may be over when the same is tried again."""

LONGEST_REASON = 500


class Problem(FaceskdError):
    """Why a photo cannot be read, or a job cannot be done.

    Args:
        code: a key of `TEXTS`.
        values: what stands for the names in its text; numbers as they are to be written. There may
            be more, for programs.
    """

    def __init__(self, code: str, **values: str) -> None:
        self.text = TEXTS[code]
        self.code = code
        self.values: dict[str, Any] = {
            name: value[:LONGEST_REASON] for name, value in values.items()
        }
        super().__init__(self.text.format(**self.values))

    @property
    def passing(self) -> bool:
        """Whether it may be over when the same is tried again."""
        return self.code in PASSING

    @property
    def stored(self) -> dict[str, Any]:
        """As it is kept in the database."""
        return {"code": self.code, "values": self.values}

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> "Problem":
        """The problem of a row; a newer worker may have written a code that is not known here."""
        if stored["code"] not in TEXTS:
            return cls("unexpected", reason=stored["code"])
        return cls(stored["code"], **stored["values"])

    @classmethod
    def of(cls, error: BaseException) -> "Problem":
        """What to say of any error."""
        if isinstance(error, Problem):
            return error
        refused = isinstance(error, Refusal) and error.text == DISK_FULL
        if refused or isinstance(error, DiskFullError):
            return cls("disk_full")
        names = {type(one).__name__ for one in causes(error)}
        if names & {"MemoryError", "OutOfMemoryError"}:  # PyTorch has one of its own
            return cls("no_memory")
        if isinstance(error, WeightsError):
            return cls("no_model", reason=str(error))
        if isinstance(error, FaceskdError):
            return cls("failed", reason=str(error))
        return cls("unexpected", reason=type(error).__name__)
