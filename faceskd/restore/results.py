"""`results.csv`: the result for every input, even after an error.

Its columns are the fields of `Result`. There is a row for each face, and for each file, page or
video without a face. Rows of earlier runs into the same folder stay, except for inputs that are
restored again.
"""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import printable
from faceskd.data.manifest import OK
from faceskd.data.picture import STOPPED
from faceskd.reporting.tables import write_csv

RESULTS = "results.csv"


@dataclass(frozen=True)
class InputFile:
    """An input: a file, or a page of a document.

    Attributes:
        path: path of the file.
        source: path relative to the folder of inputs, as in `Result.source`.
        name: name of its results, with sub-folder, without suffix.
        kind: "image", "video", or "other", which is not read.
        page: page of a document, from 0.
        status, message: the result, if it is known without reading the file; else empty.
    """

    path: Path
    source: str
    name: str
    kind: str = "image"
    page: int = 0
    status: str = ""
    message: str = ""

    @property
    def input(self) -> str:
        """The absolute path, as in `Result.input`."""
        return printable(str(self.path.absolute()))


@dataclass(frozen=True)
class Result:
    """A row of `results.csv`.

    Attributes:
        source: path relative to the folder of inputs. "#1", "#2" at the end are pages of a
            document; bytes of a name that are not UTF-8 are written as %XX.
        status:
            "ok"            restored
            "partly"        restored in part
            "kept", "profile", "unsure", "skipped"
                            left as it is, see `faceskd.restore.photo_face.PhotoFace.status`
            "no_face"       no face was found
            "unreadable"    the image or video cannot be read
            "damaged"       a part of the video cannot be read; the rest was restored
            "unwritable"    the result cannot be written
            "failed"        another error
            "stopped"       the run ended before this input (Ctrl-C)
            "unsupported"   neither an image nor a video
            "duplicate"       a link to a folder that is searched already
        message: remarks for the user, separated by ";": why there is no result, or which part of
            the file was not read or written. Empty if there are none.
        output: path of the restored face or video, relative to the folder of results; empty if
            there is none.
        image: path of the restored photo, relative to the folder of results.
        face: number of the face in the photo, from the largest.
        x1, y1, x2, y2: box of the face in pixels of the upright photo.
        size: width of the aligned face in pixels of the photo.
        score: confidence of the detector, 0 to 1.
        input: absolute path of the input.
        name: name of the results, without suffix and number of the face.
    """

    source: str
    status: str = OK
    message: str = ""
    output: str = ""
    image: str = ""
    face: int | None = None
    x1: float | None = None
    y1: float | None = None
    x2: float | None = None
    y2: float | None = None
    size: float | None = None
    score: float | None = None
    input: str = ""
    name: str = ""


COLUMNS = [column.name for column in fields(Result)]


def read_results(out: Path | str) -> list[dict[str, str]]:
    """The rows of `results.csv` in a folder of results; an empty list if the file does not exist.

    Raises:
        ConfigError: the file was not written by this version of faceskd.
    """
    path = Path(out) / RESULTS
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), reader.fieldnames
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{str(path)!r} cannot be read ({error}): move it away") from error
    if columns != COLUMNS or any(None in row or None in row.values() for row in rows):
        raise ConfigError(
            f"expected the columns {', '.join(COLUMNS)} in {str(path)!r}, got {columns}: it was "
            "written by another version or program; move it away, or give another output folder"
        )
    return rows


class ResultsFile:
    """Collects results. It writes `results.csv` at the start and at the end of the block, even
    after an error.

    Existing rows stay, except for inputs that are restored again. Inputs that were not reached
    keep the rows of an earlier run, or get the status "stopped".

    Args:
        out: folder of results.
        inputs: all inputs of this run.

    Raises:
        FaceskdError: `results.csv` cannot be written.
    """

    def __init__(self, out: Path, inputs: Sequence[InputFile]) -> None:
        self._out = out
        self._inputs = {input_file.source: input_file for input_file in inputs}
        self._known: set[str] = set()
        self.results: list[Result] = []

    def __enter__(self) -> Self:
        """Write the rows of inputs that are to be restored, so that other runs see their names."""
        self._known = {row["input"] for row in read_results(self._out)}
        self._write(self._not_reached())
        return self

    def add(self, results: Sequence[Result]) -> list[Result]:
        """Add the results of an input; returns them with `input` and `name`."""
        complete = []
        for result in results:
            given = self._inputs[result.source]
            complete.append(replace(result, input=given.input, name=given.name))
        self.results += complete
        return complete

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.add(self._not_reached())
        self.results.sort(key=lambda result: result.source)
        self._write(self.results)

    def _not_reached(self) -> list[Result]:
        """Rows of inputs that have none, neither of this run nor of an earlier one.

        Once a page of a document has a new row, the earlier rows of its other pages do not count.
        """
        done = {result.source for result in self.results}
        kept = self._known - {result.input for result in self.results}
        why = "the run was stopped before"
        return [
            Result(source, STOPPED, why, input=given.input, name=given.name)
            for source, given in self._inputs.items()
            if source not in done and given.input not in kept
        ]

    def _write(self, results: Sequence[Result]) -> None:
        replaced = {result.input for result in results}
        earlier = [row for row in read_results(self._out) if row["input"] not in replaced]
        rows = [*earlier, *map(_row, results)]
        try:
            write_csv(self._out / RESULTS, sorted(rows, key=lambda row: row["source"]))
        except OSError as problem:
            raise FaceskdError(f"cannot write {RESULTS}: {problem}") from problem


def _row(result: Result) -> dict[str, str]:
    cells = {name: "" if cell is None else str(cell) for name, cell in asdict(result).items()}
    return {name: printable(cell) for name, cell in cells.items()}


def joined(*clauses: str | Sequence[str]) -> str:
    """Join remarks to one message, without empty and repeated ones.

    Examples:
        >>> joined("no face was found", ["its profile was left out"], "")
        'no face was found; its profile was left out'
    """
    flat = [text for each in clauses for text in ([each] if isinstance(each, str) else each)]
    return "; ".join(dict.fromkeys(text for text in flat if text))
