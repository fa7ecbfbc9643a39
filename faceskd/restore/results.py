"""`results.csv`: what became of every input, whatever happens.

Its columns are the fields of `Result`, one row for each face, or for a file, page or video without
one. Rows of earlier runs into the same folder stay, but for those of inputs that are restored
again.
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
        path: where it is.
        source: its path relative to the folder of inputs, as `Result.source` has it.
        name: what its results are called, with sub-folder, without suffix.
        kind: "image", "video", or "other", which is not read.
        page: of a document, from 0.
        status, message: what becomes of it where that is known without reading it, else empty.
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
        """Its absolute path, as `Result.input` has it."""
        return printable(str(self.path.absolute()))


@dataclass(frozen=True)
class Result:
    """A row of `results.csv`.

    Attributes:
        source: the input, relative to the folder of inputs. Pages of a document have "#2" and so
            on at the end; bytes of a name that are no UTF-8 are written as %XX.
        status:
            "ok"            restored
            "partly"        restored in part
            "kept", "profile", "unsure", "skipped"
                            left as it is, see `faceskd.restore.photo_face.PhotoFace.status`
            "no_face"       no face was found
            "unreadable"    an image or video that cannot be read
            "damaged"       of a video: what could be read of it was restored
            "unwritable"    its result cannot be written
            "failed"        another error
            "stopped"       the run ended before it was done (Ctrl-C)
            "unsupported"   no image and no video
            "duplicate"       a link to a folder that is searched already
        message: what the user should know, as clauses with ";" between: why there is no result,
            what of the file was not read or not written. Empty when all is well.
        output: the restored face or video, relative to the folder of results; empty where there
            is none.
        image: the restored photo, relative to the folder of results.
        face: the face's number in the photo, largest first.
        x1, y1, x2, y2: its box in pixels of the upright photo.
        size: pixels of the photo across the aligned face.
        score: the detector's confidence, 0 to 1.
        input: the input's absolute path.
        name: what its results are called, without suffix and number of the face.
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
    """The rows of `results.csv` in a folder of results; none where there is no such file.

    Raises:
        ConfigError: it is not what this version of faceskd writes.
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
    """Collects what becomes of inputs; leaving the block writes `results.csv`, however it is left.

    Rows that are there stay, but for those of inputs that are restored again. Inputs that were
    not reached have the status "stopped", or the rows of an earlier run.

    Args:
        out: the folder of results.
        inputs: all inputs of this run.

    Raises:
        FaceskdError: `results.csv` cannot be written.
    """

    def __init__(self, out: Path, inputs: Sequence[InputFile]) -> None:
        self._out = out
        self._inputs = {input_file.source: input_file for input_file in inputs}
        self.results: list[Result] = []

    def __enter__(self) -> Self:
        return self

    def add(self, results: Sequence[Result]) -> list[Result]:
        """Note what became of an input; returns its rows with `input` and `name`."""
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
        done = {result.source for result in self.results}
        finished = {result.input for result in self.results}
        earlier = [row for row in read_results(self._out) if row["input"] not in finished]
        known = {row["input"] for row in earlier}
        missing = [
            given
            for source, given in self._inputs.items()
            if source not in done and given.input not in known
        ]
        self.add([Result(given.source, STOPPED, "the run was stopped before") for given in missing])
        self.results.sort(key=lambda result: result.source)
        rows = [*earlier, *map(_row, self.results)]
        try:
            write_csv(self._out / RESULTS, sorted(rows, key=lambda row: row["source"]))
        except OSError as problem:
            raise FaceskdError(f"cannot write {RESULTS}: {problem}") from problem


def _row(result: Result) -> dict[str, str]:
    cells = {name: "" if cell is None else str(cell) for name, cell in asdict(result).items()}
    return {name: printable(cell) for name, cell in cells.items()}


def joined(*clauses: str | Sequence[str]) -> str:
    """Clauses as one message, without empty and repeated ones.

    Examples:
        >>> joined("no face was found", ["its profile was left out"], "")
        'no face was found; its profile was left out'
    """
    flat = [text for each in clauses for text in ([each] if isinstance(each, str) else each)]
    return "; ".join(dict.fromkeys(text for text in flat if text))
