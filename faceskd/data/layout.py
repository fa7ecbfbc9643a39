"""Make the pictures of a table of sources from clones of their repositories, and check folders."""

import hashlib
import io
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from faceskd.common.errors import FacesError
from faceskd.common.files import atomic_path, make_folder, sha256, write_text
from faceskd.common.images import from_pil
from faceskd.data.sources import Source
from faceskd.data.splits import SPLITS

QUALITY = 93
"""JPEG quality of the pictures that the table lists."""
OK, MISSING, CHANGED, DIFFERS, EXTRA = "ok", "missing", "changed", "differs", "extra"
SPLIT_FILE = "splits.csv"


@dataclass(frozen=True)
class Checked:
    """One picture of a folder of faces.

    Attributes:
        place: its path in the folder.
        status: "ok"; "missing": there is no such file, or no such original in a clone; "changed":
            the clone has another original at this path; "differs": the picture has another hash;
            "extra": the table has no such picture.
        message: more on it; empty when all is well.
    """

    place: str
    status: str
    message: str = ""


def verify(faces: Path | str, sources: Sequence[Source]) -> Iterator[Checked]:
    """Compare the pictures in train/, val/ and test/ of a folder with a table, byte for byte.

    Raises:
        FacesError: there is no such folder.
    """
    faces = Path(faces)
    if not faces.is_dir():
        raise FacesError(f"expected a folder of faces at {str(faces)!r}, found none")
    for source in sources:
        yield _compare(faces / source.place, source)
    known = {source.place for source in sources}
    for split in SPLITS:
        for path in sorted(path for path in (faces / split).rglob("*") if path.is_file()):
            place = path.relative_to(faces).as_posix()
            if place not in known:
                yield Checked(place, EXTRA, "the table has no such picture")


def lay_out(clones: Path | str, out: Path | str, sources: Sequence[Source]) -> Iterator[Checked]:
    """Write the pictures of a table, from local clones of their repositories.

    An original is read from the clone's files, or from its history, by git's hash. It is cropped,
    reduced with Pillow's Lanczos filter and saved as JPEG. What is there already is kept. Whether
    another version of Pillow or libjpeg writes the same bytes is seen by the hash of the result.

    Args:
        clones: folder with the clones, as OWNER/NAME or NAME.
        out: folder to write train/, val/ and test/ to, and splits.csv for `faceskd prepare`.
        sources: the table.
    """
    out = make_folder(out)
    rows = [f"{source.place},{source.split},{source.kind}\n" for source in sources]
    write_text(out / SPLIT_FILE, "source,split,kind\n" + "".join(rows))
    for source in sources:
        path = out / source.place
        if path.is_file() and sha256(path) == source.sha256:
            yield Checked(source.place, OK)
            continue
        content = _original(Path(clones), source)
        if isinstance(content, Checked):
            yield content
            continue
        with atomic_path(path) as temporary:
            temporary.write_bytes(make_picture(content, source))
        yield _compare(path, source)


def make_picture(original: bytes, source: Source) -> bytes:
    """The JPEG file of a row: crop, then scale, then compress."""
    with Image.open(io.BytesIO(original)) as file:
        image = Image.fromarray(from_pil(file))
    if source.crop:
        left, top, side = map(int, source.crop.split(","))
        image = image.crop((left, top, left + side, top + side))
    size = (round(image.width * source.scale), round(image.height * source.scale))
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    made = io.BytesIO()
    image.save(made, "JPEG", quality=QUALITY)
    return made.getvalue()


def blob_hash(content: bytes) -> str:
    """What git calls a file of this content.

    Example:
        >>> blob_hash(b"")
        'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _compare(path: Path, source: Source) -> Checked:
    if not path.is_file():
        return Checked(source.place, MISSING, "there is no such file")
    came = sha256(path)
    if came == source.sha256:
        return Checked(source.place, OK)
    message = f"expected the SHA-256 {source.sha256[:16]}..., got {came[:16]}..."
    return Checked(source.place, DIFFERS, message)


def _original(clones: Path, source: Source) -> bytes | Checked:
    """The original by its hash, or why it cannot be had."""
    places = (clones / source.repository, clones / source.repository.split("/")[1])
    clone = next((place for place in places if place.is_dir()), None)
    if clone is None:
        message = f"expected a clone of {source.repository} at {str(places[0])!r}, found none"
        return Checked(source.place, MISSING, message)
    path = clone / source.path
    readers: list[Callable[[], bytes]] = [path.read_bytes, lambda: _from_history(clone, source)]
    for read in readers:
        try:
            content = read()
        except (OSError, subprocess.CalledProcessError):
            continue
        if blob_hash(content) == source.blob:
            return content
    if path.is_file():
        message = f"{source.repository} has another {source.path}: check out {source.revision}"
        return Checked(source.place, CHANGED, message)
    message = f"{source.repository} has no {source.path}: check out {source.revision}"
    return Checked(source.place, MISSING, message)


def _from_history(clone: Path, source: Source) -> bytes:
    command = ["git", "-C", str(clone), "cat-file", "blob", source.blob]
    return subprocess.run(command, capture_output=True, check=True).stdout
