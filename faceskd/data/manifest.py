"""The manifest of a folder of prepared faces, with at least one row for every input file.

`faceskd prepare` writes folders of prepared faces; training and evaluation read them:

    FACES/manifest.csv      one `Record` per row; cells with landmarks and boxes are JSON
    FACES/<split>/*.png     the 256x256 crops
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from faceskd.common.errors import FacesError
from faceskd.common.files import atomic_path, sha256

MANIFEST = "manifest.csv"
OK = "ok"


@dataclass(frozen=True)
class Record:
    """The result for one face, or for an input file without a face.

    Attributes:
        source: path of the input file, relative to the source folder, with forward slashes; bytes
            that are not UTF-8 are written as %XX.
        status: "ok", or why there is no face: "no_face", "too_small"; "unreadable", "unwritable",
            "failed" (another error), "stopped" (the run ended before this file); "unsupported" (not
            an image), "duplicate" (a link to a folder that is searched already).
        message: remarks for the user, separated by ";"; empty if there are none.
        split: "train", "val" or "test".
        identity: name of the person; all faces of a person are in the same split.
        face: path of the crop, relative to the folder of prepared faces.
        landmarks: 5 or 68 points [x, y] in pixels of the crop.
        boxes: the component boxes [x1, y1, x2, y2] in pixels of the crop, in the order of
            `faceskd.faces.components.COMPONENTS`.
        kind: "photograph", "generated" (by a generative network) or "drawn"
            (`faceskd.data.sources.KINDS`); empty where it is not known.
    """

    source: str
    status: str
    message: str = ""
    split: str = ""
    identity: str = ""
    face: str = ""
    landmarks: list[list[float]] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    kind: str = ""


COLUMNS = [column.name for column in fields(Record)]
_JSON_COLUMNS = ("landmarks", "boxes")


def _to_row(record: Record) -> dict[str, str]:
    row = asdict(record)
    for name in _JSON_COLUMNS:
        points = [[round(float(value), 3) for value in point] for point in row[name]]
        row[name] = json.dumps(points) if points else ""
    return row


def _from_row(row: dict[str, str]) -> Record:
    values: dict = dict(row)
    for name in _JSON_COLUMNS:
        values[name] = json.loads(row[name]) if row[name] else []
    return Record(**values)


def read_manifest(folder: Path | str, split: str | None = None) -> list[Record]:
    """The records of a folder of prepared faces; with `split`, only the faces of this split.

    Raises:
        FacesError: there is no manifest, it is damaged, or the split has no face.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FacesError(
            f"no {MANIFEST} in {str(folder)!r}: expected a folder that `faceskd prepare` wrote"
        )
    try:
        with path.open(newline="", encoding="utf-8") as file:
            records = [_from_row(row) for row in csv.DictReader(file)]
    except (TypeError, ValueError, KeyError, csv.Error) as error:
        raise FacesError(f"{str(path)!r} is damaged: {error}") from error
    if split is None:
        return records
    faces = [record for record in records if record.status == OK and record.split == split]
    if not faces:
        found = sorted({record.split for record in records if record.status == OK})
        raise FacesError(f"no face in the split {split!r} of {str(folder)!r}; it has {found}")
    return faces


def of_kind(records: Sequence[Record], kind: str) -> list[Record]:
    """The faces of one kind.

    Raises:
        FacesError: there is none, or the manifest does not say of which kind a face is.
    """
    check_kinds(records)
    found = [record for record in records if record.kind == kind]
    if not found:
        there = sorted({record.kind for record in records})
        raise FacesError(f"expected faces of the kind {kind!r}, got only {there}")
    return found


def check_kinds(records: Sequence[Record]) -> None:
    """Raise a FacesError unless the kind of every face is known."""
    unknown = [record.source for record in records if not record.kind]
    if unknown:
        raise FacesError(
            f"the manifest does not say of {len(unknown)} of {len(records)} faces whether they are "
            f"photographed or generated, {unknown[0]!r} for one: prepare them again; give photos "
            "that faceskd does not know a split_file with the columns source and kind"
        )


def faces_sha256(folder: Path | str) -> str:
    """One hash of the manifest and of every face that it names.

    Raises:
        FacesError: there is no manifest, or a face is missing.
    """
    folder = Path(folder)
    records = read_manifest(folder)
    digest = hashlib.sha256(json.dumps([_to_row(record) for record in records]).encode())
    for record in records:
        if record.face:
            if not (folder / record.face).is_file():
                raise FacesError(f"the face {record.face!r} is missing in {str(folder)!r}")
            digest.update(f"{record.face} {sha256(folder / record.face)}\n".encode())
    return digest.hexdigest()


def draw_records(records: Sequence[Record], limit: int | None, *, seed: int) -> list[Record]:
    """`limit` records drawn at random, in the order of the manifest; None: all records.

    They are drawn because a manifest is sorted: its first records may all be from one source. With
    the same seed, the records of a smaller limit are among those of a larger one.
    """
    if limit is None or limit >= len(records):
        return list(records)
    order = np.random.default_rng((seed, len(records))).permutation(len(records))
    return [records[index] for index in sorted(order[:limit])]


def write_manifest(folder: Path | str, records: Iterable[Record]) -> None:
    """Write the manifest atomically, sorted by source."""
    with (
        atomic_path(Path(folder) / MANIFEST) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(_to_row(record) for record in sorted(records, key=lambda r: r.source))
