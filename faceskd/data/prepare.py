"""Turn photos into prepared faces: 256x256 crops, and a manifest with landmarks and boxes.

Every input file gets at least one row in the manifest. Finished files are noted in a journal. After
an interruption, the next call does only the files that are missing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from faceskd.common.checks import check_whole_or_none
from faceskd.common.errors import ConfigError
from faceskd.common.files import make_folder
from faceskd.data.journal import Journal
from faceskd.data.manifest import OK, Record, write_manifest
from faceskd.data.photo_list import list_photos
from faceskd.data.picture import FAILURES, STOPPED, CropSettings, PhotoFile
from faceskd.data.splits import FRACTIONS, IdentityBy, check_fractions
from faceskd.data.workers import prepare_photos
from faceskd.faces.align import Crop, SimilarityCrop
from faceskd.faces.detection import Detector, MTCNNDetector


@dataclass(frozen=True)
class Summary:
    """The result of preparing a folder.

    Attributes:
        records: a row for every face written and every file without one, sorted by source.
        resumed: number of files that an earlier call had finished.
    """

    records: list[Record]
    resumed: int = 0

    @property
    def statuses(self) -> Counter[str]:
        """Number of rows with each status."""
        return Counter(record.status for record in self.records)

    @property
    def splits(self) -> Counter[str]:
        """Number of faces in each split."""
        return Counter(record.split for record in self.records if record.status == OK)

    @property
    def failed(self) -> bool:
        """Whether an image could not be read or prepared, or no face was found at all."""
        return any(self.statuses[status] for status in FAILURES) or not self.statuses[OK]


def prepare(
    src: Path | str,
    dst: Path | str,
    *,
    detector: Detector | None = None,
    crop: Crop | None = None,
    min_face: int = 256,
    size: int = 256,
    faces: Literal["largest", "all"] = "largest",
    splits: Mapping[str, float] = FRACTIONS,
    split_file: Path | str | None = None,
    identity_by: IdentityBy = "auto",
    processes: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Summary:
    """Find, align and crop the face of every image in `src`; write crops and manifest to `dst`.

    Args:
        src: folder of images; its sub-folders are searched, too.
        dst: folder for the prepared faces; finished files of an earlier call are kept.
        detector: finds faces and landmarks; MTCNN by default.
        crop: how a face is cropped; a similarity transform by default.
        min_face: smallest height of a face in pixels of the photo; smaller faces are left out.
        size: side of the crops in pixels.
        faces: "largest": one face per image; "all": every face that is large enough.
        splits, split_file, identity_by: see `faceskd.data.splits.assign`.
        processes: number of processes; None: one per CPU.
        overwrite: prepare all files again, even if `dst` was made with other settings.
        progress: show a progress bar.

    Returns:
        Summary with the records of all files.

    Raises:
        FaceskdError: there are no images, settings are invalid or differ from those that `dst` was
            made with, weights are missing, or the folder cannot be written to.
        DiskFullError: the disk is full; the next call continues with the files that are missing.
    """
    settings = CropSettings(
        detector or MTCNNDetector(), crop or SimilarityCrop(), min_face, size, faces
    )
    settings.check()
    check_fractions(splits)
    check_whole_or_none(1, processes=processes)
    src, dst = Path(src), Path(dst)
    if src.resolve().is_relative_to(dst.resolve()):
        raise ConfigError(
            f"expected dst as another folder than src, and src not inside it, got src={str(src)!r} "
            f"and dst={str(dst)!r}"
        )
    photos, others = list_photos(src, split_file, splits, identity_by, dst)
    make_folder(dst)
    settings.detector.fetch()
    with Journal(dst, settings.settings(), overwrite=overwrite) as journal:
        done = {
            photo.source: found for photo in photos if (found := _finished(photo, journal, dst))
        }
        todo = [photo for photo in photos if photo.source not in done]
        resumed = len(done)
        try:
            with _progress_bar(progress) as bar:
                prepared = prepare_photos(todo, settings, dst, processes)
                for photo, records in bar.track(prepared, len(todo), description="preparing faces"):
                    journal.append(photo.source, _stamp(photo.path), records)
                    done[photo.source] = records
        finally:  # also when the run is stopped
            records = others + [
                record for photo in photos for record in done.get(photo.source, [_stopped(photo)])
            ]
            write_manifest(dst, records)
    return Summary(sorted(records, key=lambda record: record.source), resumed)


def _progress_bar(shown: bool) -> Progress:
    columns = (*Progress.get_default_columns()[:1], BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), disable=not shown)


def _stopped(photo: PhotoFile) -> Record:
    message = "the run stopped before this file; run the same command again to continue"
    return Record(photo.source, STOPPED, message, photo.place.split, photo.place.identity)


def _stamp(path: Path) -> list[int]:
    """Size and time of a file, to see whether it has changed."""
    try:
        status = path.stat()
    except OSError:  # deleted meanwhile; its record says so
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def _finished(photo: PhotoFile, journal: Journal, dst: Path) -> list[Record] | None:
    """The records of an earlier call if they are still valid. Files that failed are tried again."""
    records = journal.find(photo.source, _stamp(photo.path))
    if not records:
        return None
    valid = all(
        (record.split, record.identity) == (photo.place.split, photo.place.identity)
        and photo.place.kind in ("", record.kind)
        and record.status not in FAILURES
        and (not record.face or (dst / record.face).is_file())
        for record in records
    )
    return records if valid else None
