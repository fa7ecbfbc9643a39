"""The pictures that the released models learn from: where each comes from, and what it is.

`faces.tsv.gz` has a row for each of 861 portraits, which are not part of the package: split, name,
kind, repository, revision, path and git blob hash of the original, the crop and the scale that it
was given, licence, credit, and the SHA-256 of the result. `faceskd data layout` makes the pictures
from clones of the repositories, `faceskd data verify` checks a folder that has them.
"""

import csv
import gzip
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from faceskd.common.errors import FacesError
from faceskd.common.files import sha256

SOURCES = Path(__file__).parent / "faces.tsv.gz"
PHOTOGRAPH, GENERATED, DRAWN = KINDS = ("photograph", "generated", "drawn")
"""What a face is: of a person, of a generative network, or drawn by `faceskd portraits`."""


@dataclass(frozen=True)
class Source:
    """One picture.

    Attributes:
        split: "train", "val" or "test".
        name: its file name.
        kind: one of `KINDS`.
        repository: "owner/name" on GitHub.
        revision: a commit of the repository that has the original.
        path: of the original in the repository.
        blob: git's SHA-1 of the original.
        crop: "x,y,side" in pixels of the original; empty for all of it.
        scale: sides of the result over sides of the crop.
        licence: SPDX identifier, or "public domain".
        credit: whom to name; empty where the licence asks for nobody.
        sha256: of the result, a JPEG file.
    """

    split: str
    name: str
    kind: str
    repository: str
    revision: str
    path: str
    blob: str
    crop: str
    scale: float
    licence: str
    credit: str
    sha256: str

    @property
    def place(self) -> str:
        """Its path in a folder of faces."""
        return f"{self.split}/{self.name}"


def read_sources(path: Path | str | None = None) -> list[Source]:
    """The rows of the package's table, or of another one (.tsv or .tsv.gz).

    Raises:
        FacesError: there is no such file, or it is damaged.
    """
    path = Path(path or SOURCES)
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
        found = [_source(row) for row in csv.DictReader(text.splitlines(), delimiter="\t")]
        if not found:
            raise ValueError("it has no rows")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise FacesError(f"cannot read the table of faces {str(path)!r}: {error}") from error
    if wrong := {source.kind for source in found} - set(KINDS):
        raise FacesError(f"{str(path)!r}: expected kinds of {KINDS}, got {sorted(wrong)}")
    return found


def _source(row: Mapping[str, str]) -> Source:
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Source)}
    return Source(**values | {"scale": float(row["scale"])})


def sources_sha256(sources: Sequence[Source]) -> str:
    """One hash of the places and contents of all pictures.

    Example:
        >>> sources_sha256(read_sources())[:8]
        '19d5a01b'
    """
    lines = sorted(f"{source.place} {source.sha256}\n" for source in sources)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def kind_of(path: Path | str) -> str:
    """The kind of a file that the package's table has, by its content; else ""."""
    return _kinds().get(sha256(path), "")


@cache
def _kinds() -> dict[str, str]:
    return {source.sha256: source.kind for source in read_sources()}
