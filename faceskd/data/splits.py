"""Assign pictures to the splits train, val and test, so that no person is in two splits.

Splits are given by folders (train/, val/ and test/ in the source folder), by a CSV file, or by a
hash of the identity. What the file says goes first. With the hash, adding pictures does not move
others to another split.
"""

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from faceskd.common.checks import are_shares, check_choice
from faceskd.common.errors import ConfigError, FacesError
from faceskd.data.sources import KINDS

SPLITS = ("train", "val", "test")
FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}
IdentityBy = Literal["auto", "folder", "file"]


@dataclass(frozen=True)
class Place:
    """Split ("train", "val" or "test"), identity and kind of one picture.

    The kind (`faceskd.data.sources.KINDS`) is empty where nobody gave it.
    """

    split: str
    identity: str
    kind: str = ""


def assign(
    sources: Sequence[str],
    *,
    split_file: Path | str | None = None,
    fractions: Mapping[str, float] = FRACTIONS,
    identity_by: IdentityBy = "auto",
) -> dict[str, Place]:
    """The split and identity of every picture.

    Args:
        sources: paths relative to the source folder, with forward slashes.
        split_file: CSV with a column `source` and `split`, `identity`, `kind` or several of them.
            A picture without a split in it gets that of its folder.
        fractions: share of the identities in each split, if splits are not given; the sum is 1.
        identity_by: "folder": all pictures in a folder show the same person; "file": each picture
            shows another person; "auto": by folder if there is more than one, else by file. The
            folders train/, val/ and test/ are no persons.

    Raises:
        ConfigError: the fractions do not add up to 1, or there is no such `identity_by`.
        FacesError: an identity is in two splits, only some pictures are in folders of splits, or
            the CSV file has a missing column, a missing row or an invalid split.
    """
    check_choice(get_args(IdentityBy), identity_by=identity_by)
    rows = _read_split_file(split_file, sources) if split_file else {}
    given = _splits_by_folder(
        [source for source in sources if not rows.get(source, {}).get("split")]
    )
    identities = _identities(sources, identity_by)
    check_fractions(fractions)
    places = {}
    for source in sources:
        row = rows.get(source, {})
        identity = row.get("identity") or identities[source]
        split = row.get("split") or given.get(source) or draw(identity, fractions)
        places[source] = Place(split, identity, row.get("kind") or "")
    _refuse_shared_identities(places)
    return places


def draw(identity: str, fractions: Mapping[str, float] = FRACTIONS) -> str:
    """The split of an identity, from its SHA-256: the same on every machine and in any order.

    Examples:
        >>> draw("somebody") == draw("somebody")
        True
    """
    digest = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    for split in SPLITS:
        position -= fractions.get(split, 0)
        if position < 0:
            return split
    return max(SPLITS, key=lambda split: fractions.get(split, 0))


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise ConfigError unless `fractions` are shares of train, val and test that add up to 1."""
    if set(fractions) - set(SPLITS) or not are_shares(fractions.values()):
        raise ConfigError(
            f"expected fractions of {', '.join(SPLITS)} that add up to 1, got {dict(fractions)}"
        )


def _splits_by_folder(sources: Sequence[str]) -> dict[str, str]:
    tops = {source: PurePosixPath(source).parts[0] for source in sources}
    inside = {source: top for source, top in tops.items() if top in SPLITS}
    if inside and len(inside) < len(sources):
        other = next(source for source in sources if source not in inside)
        raise FacesError(
            f"expected all pictures in train/, val/ or test/ or none, but {other!r} is in none"
        )
    return inside


def _identities(sources: Sequence[str], by: IdentityBy) -> dict[str, str]:
    paths = {source: PurePosixPath(source) for source in sources}
    folders = {source: _person_folder(path) for source, path in paths.items()}
    by_folder = by == "folder" or (by == "auto" and len(set(folders.values())) > 1)
    return {
        source: folders[source] if by_folder and folders[source] != "." else path.stem
        for source, path in paths.items()
    }


def _person_folder(path: PurePosixPath) -> str:
    """The folder of a picture without the name of a split, which is that of no person.

    Examples:
        >>> _person_folder(PurePosixPath("train/ann/1.png")), _person_folder(PurePosixPath("1.png"))
        ('ann', '.')
    """
    parts = path.parent.parts
    return PurePosixPath(*parts[1:] if parts and parts[0] in SPLITS else parts).as_posix()


def _read_split_file(path: Path | str, sources: Iterable[str]) -> dict[str, dict[str, str]]:
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            rows: dict[str, dict[str, str]] = {}
            for row in reader:
                if rows.setdefault(row.get("source") or "", row) != row:
                    raise FacesError(
                        f"split_file {str(path)!r} has two different rows for {row['source']!r}"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FacesError(f"cannot read split_file {str(path)!r}: {error}") from error
    if "source" not in columns or not {"split", "identity", "kind"} & set(columns):
        raise FacesError(
            f"split_file {str(path)!r} needs a column source and split, identity or kind, has "
            f"{columns}"
        )
    wrong = {row["split"] for row in rows.values() if row.get("split")} - set(SPLITS)
    if wrong:
        raise FacesError(f"split_file {str(path)!r}: splits are {SPLITS}, got {sorted(wrong)}")
    if odd := {row["kind"] for row in rows.values() if row.get("kind")} - set(KINDS):
        raise FacesError(f"split_file {str(path)!r}: kinds are {KINDS}, got {sorted(odd)}")
    missing = [source for source in sources if source not in rows]
    if missing:
        raise FacesError(
            f"split_file {str(path)!r} has no row for {missing[0]!r} and {len(missing) - 1} others"
        )
    return rows


def _refuse_shared_identities(places: Mapping[str, Place]) -> None:
    splits_of = defaultdict(set)
    for place in places.values():
        splits_of[place.identity].add(place.split)
    for identity, splits in sorted(splits_of.items()):
        if len(splits) > 1:
            raise FacesError(
                f"the identity {identity!r} is in the splits {sorted(splits)}: a person may be in "
                "one only; rename, or set identity_by (folder or file) or a split_file"
            )
