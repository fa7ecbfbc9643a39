"""List the photos of a folder: which files there are, and the name and split of each crop."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from faceskd.common.errors import FaceskdError
from faceskd.common.files import fitting
from faceskd.common.listing import ListedFile, list_files
from faceskd.data.manifest import Record
from faceskd.data.picture import DUPLICATE, UNREADABLE, UNSUPPORTED, PhotoFile
from faceskd.data.splits import IdentityBy, Place, assign


def list_photos(
    src: Path,
    split_file: Path | str | None,
    splits: Mapping[str, float],
    identity_by: IdentityBy,
    dst: Path,
) -> tuple[list[PhotoFile], list[Record]]:
    """The photos in a folder and its sub-folders, and a record for every other file.

    Args:
        src: folder to search.
        split_file, splits, identity_by: see `faceskd.data.splits.assign`.
        dst: folder of the results; it is not searched.

    Raises:
        FaceskdError: the folder contains no image.
    """
    results = dst.resolve()
    listed = [file for file in list_files(src) if not file.path.resolve().is_relative_to(results)]
    paths = {file.source: file.path for file in listed if file.kind == "image" and not file.problem}
    if not paths:
        raise FaceskdError(f"no image in the folder {str(src)!r}, among {len(listed)} files")
    others = [_unusable(file) for file in listed if file.source not in paths]
    places = assign(list(paths), split_file=split_file, fractions=splits, identity_by=identity_by)
    names = crop_names(places)
    photos = [
        PhotoFile(path, source, names[source], places[source]) for source, path in paths.items()
    ]
    return photos, others


def crop_names(places: Mapping[str, Place]) -> dict[str, str]:
    """A file name without suffix for the crop of each source, unique within its split.

    Folders and file name are joined by "-". If two names would be the same (a.jpg and a.png, or
    names that differ only in case), a part of the hash of the source is added.

    Examples:
        >>> crop_names({"ann/1.jpg": Place("train", "ann")})
        {'ann/1.jpg': 'ann-1'}
    """
    plain = {}
    for source, place in places.items():
        parts = PurePosixPath(source).with_suffix("").parts
        inside = parts[1:] if len(parts) > 1 and parts[0] == place.split else parts
        plain[source] = fitting("-".join(inside))
    uses = Counter(name.casefold() for name in plain.values())
    return {
        source: name if uses[name.casefold()] == 1 else f"{name}-{_digest(source)[:8]}"
        for source, name in plain.items()
    }


def _unusable(file: ListedFile) -> Record:
    if file.kind == "video":
        return Record(file.source, UNSUPPORTED, "a video; only photos are prepared")
    status = {"image": UNREADABLE, "link": DUPLICATE}.get(file.kind, UNSUPPORTED)
    return Record(file.source, status, file.problem or "no image")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
