"""A job and its picture in memory, and the files that its result becomes."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from faceskd.restore.photo_files import Photo as PhotoFile
from faceskd.studio import pictures
from faceskd.studio.kinds.base import Kind, Outcome
from faceskd.studio.storage import Incoming, Storage
from faceskd.studio.tables import Job, Photo, Result

PIXELS_AT_ONCE = 24_000_000
"""Of the photos that are restored together; more would need too much memory."""

UNKNOWN_PIXELS = 12_000_000
"""Taken for a photo that was not imported yet."""

RanOn = tuple[str, int | None]

FORMATS = {"jpg": "JPEG", "webp": "WebP", "png": "PNG"}


@dataclass(eq=False)
class Work:
    """A claimed job with its photo, or its crop, decoded."""

    job: Job
    photo: Photo
    picture: PhotoFile


def in_parts(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Jobs in parts that fit into memory together; a photo that does not fit is alone."""
    part: list[Job] = []
    size = 0
    for job in jobs:
        pixels = job.photo.width * job.photo.height if job.photo else 0
        pixels = pixels or UNKNOWN_PIXELS
        if part and size + pixels > PIXELS_AT_ONCE:
            yield part
            part, size = [], 0
        part.append(job)
        size += pixels
    if part:
        yield part


class ResultFiles:
    """The files of a result, written but not yet in their places.

    Args:
        storage: where they go.
        work: the job.
        kind: its kind.
        outcome: what became of the picture.
        ran_on: name of the GPU or processor, and threads.

    Raises:
        Refusal: the disk is full.
    """

    def __init__(
        self, storage: Storage, work: Work, kind: Kind, outcome: Outcome, ran_on: RanOn
    ) -> None:
        self.storage, self.outcome, self.ran_on = storage, outcome, ran_on
        picture = pictures.central_square(work.picture) if kind.square else work.picture
        if kind.keeps_file and work.job.crop is None:
            data, self.format = storage.path(work.photo.file).read_bytes(), work.photo.format
        else:
            suffix = pictures.suffix_of(work.photo.format, outcome.image)
            self.format = FORMATS[suffix]
            with tempfile.TemporaryDirectory() as folder:
                data = pictures.encode(Path(folder), outcome.image, picture, suffix)
        self.files = {
            "file": data,
            "preview": pictures.preview(outcome.image),
            "before": pictures.before(picture.image, outcome.image),
        }

    def result(self, session: Session, files: dict[str, Incoming], seconds: float) -> Result:
        """The row of the result, with its files in their places."""
        height, width = self.outcome.image.shape[:2]
        return Result(
            **{name: self.storage.keep(session, file) for name, file in files.items()},
            bytes=files["file"].bytes,
            format=self.format,
            width=width,
            height=height,
            faces=[asdict(face) for face in self.outcome.faces],
            seconds=seconds,
            processor=self.ran_on[0],
            threads=self.ran_on[1],
        )


@contextmanager
def received(storage: Storage, files: dict[str, bytes]) -> Iterator[dict[str, Incoming]]:
    """Write files to the folder of incoming files; those not kept are deleted afterwards."""
    found: dict[str, Incoming] = {}
    try:
        for name, data in files.items():
            found[name] = storage.receive(data)
        yield found
    finally:
        for incoming in found.values():
            incoming.path.unlink(missing_ok=True)
