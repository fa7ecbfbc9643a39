"""Prepare the faces of one photo: read it, detect faces, choose, crop, write, report."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from faceskd.common.checks import check_whole
from faceskd.common.decoding import notes, open_image, page_count
from faceskd.common.errors import ConfigError, DiskFullError, ImageError, reason
from faceskd.common.images import from_pil, write_image
from faceskd.data.manifest import OK, Record
from faceskd.data.sources import kind_of
from faceskd.data.splits import Place
from faceskd.faces.align import AlignedCrop, Crop, SimilarityCrop, template, transform_points
from faceskd.faces.components import boxes_from_landmarks
from faceskd.faces.detection import Detector, Face

NO_FACE, TOO_SMALL = "no_face", "too_small"
UNREADABLE, UNWRITABLE, FAILED, STOPPED = "unreadable", "unwritable", "failed", "stopped"
DAMAGED = "damaged"
UNSUPPORTED, DUPLICATE = "unsupported", "duplicate"
FAILURES = (UNREADABLE, UNWRITABLE, FAILED, STOPPED, DAMAGED)
"""With one of these statuses, `prepare` and `restore` end with exit status 1."""

SIMILAR_SIZE = 0.9
"""Faces at least this high, relative to the highest, count as equally large."""


@dataclass(frozen=True)
class CropSettings:
    """The settings that affect crops. If they change, old crops cannot be used any more."""

    detector: Detector
    crop: Crop
    min_face: int = 256
    size: int = 256
    faces: Literal["largest", "all"] = "largest"

    def check(self) -> None:
        """Raise a ConfigError if a setting is invalid."""
        if self.faces not in ("largest", "all"):
            raise ConfigError(f"expected faces=largest or all, got {self.faces!r}")
        check_whole(1, min_face=self.min_face)
        check_whole(32, size=self.size)
        if self.detector.min_face > self.min_face:
            raise ConfigError(
                f"expected landmarks.min_face, the smallest face to detect, of at most min_face, "
                f"which is {self.min_face}, got {self.detector.min_face}"
            )
        if isinstance(self.crop, SimilarityCrop | AlignedCrop):
            template(self.size, self.crop.template_scale)

    def settings(self) -> dict[str, str]:
        """All settings as text, to find out whether crops were made with the same settings."""
        return {field.name: repr(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True)
class PhotoFile:
    """An input file: its path, its source, the name of its crop, its split and identity."""

    path: Path
    source: str
    name: str
    place: Place


def prepare_image(photo: PhotoFile, settings: CropSettings, dst: Path) -> list[Record]:
    """Write the crops of one image; return a record for each, or one that says why there is none.

    Any error that the image causes is in its record.

    Raises:
        DiskFullError: the disk is full.
    """
    place = photo.place
    blank = Record(photo.source, OK, split=place.split, identity=place.identity, kind=place.kind)
    try:
        with open_image(photo.path) as file:
            image, lost = from_pil(file), notes(file)
        if (pages := page_count(photo.path)) > 1:
            lost.append(f"only the first of {pages} pages was read")
        kind = place.kind or kind_of(photo.path)
        blank = replace(blank, message="; ".join(lost), kind=kind)
        return _faces(image, blank, photo, settings, dst)
    except DiskFullError:  # every other photo would fail, too
        raise
    except ImageError as error:
        message = str(error).removeprefix(f"{photo.path.name}: ")
        return [replace(blank, status=UNREADABLE, message=message)]
    except OSError as error:
        return [replace(blank, status=UNWRITABLE, message=f"cannot write its face: {error}")]
    except Exception as error:  # detectors and crops raise many kinds
        return [replace(blank, status=FAILED, message=reason(error))]


def _faces(
    image: np.ndarray, blank: Record, photo: PhotoFile, settings: CropSettings, dst: Path
) -> list[Record]:
    if settings.crop.aligned:
        return [_aligned_face(image, blank, photo, settings, dst)]
    found = settings.detector.detect(image)
    if not found:
        message = f"no face of {settings.detector.min_face:g} px or more was found"
        return [_noted(blank, message, status=NO_FACE)]
    if settings.faces == "largest":
        if len(found) > 1:
            blank = _noted(blank, f"{len(found)} faces; the largest was taken")
        return [_photo_face(image, main_face(found, image), blank, photo.name, settings, dst)]
    return [
        _photo_face(image, face, blank, f"{photo.name}_{number}", settings, dst)
        for number, face in enumerate(found)
    ]


def _noted(record: Record, *clauses: str, status: str = OK) -> Record:
    """The record with a status and additional remarks."""
    texts = [text for text in (record.message, *clauses) if text]
    return replace(record, status=status, message="; ".join(texts))


def main_face(faces: Sequence[Face], image: np.ndarray) -> Face:
    """The largest face. Of several about equally large ones, the one nearest to the centre."""
    centre = np.array(image.shape[1::-1]) / 2
    least = SIMILAR_SIZE * max(face.height for face in faces)
    return min(
        (face for face in faces if face.height >= least),
        key=lambda face: float(np.linalg.norm((face.box[:2] + face.box[2:]) / 2 - centre)),
    )


def _photo_face(
    image: np.ndarray, face: Face, blank: Record, name: str, settings: CropSettings, dst: Path
) -> Record:
    if face.height < settings.min_face:
        message = f"the face is {face.height:.0f} px high, expected at least {settings.min_face}"
        return _noted(blank, message, status=TOO_SMALL)
    crop, matrix = settings.crop(image, face, settings.size)
    return _write(crop, transform_points(face.landmarks, matrix), blank, name, dst)


def _aligned_face(
    image: np.ndarray, blank: Record, photo: PhotoFile, settings: CropSettings, dst: Path
) -> Record:
    """Crop a picture that is an aligned face already; only its landmarks are detected."""
    height, width = image.shape[:2]
    side = min(height, width)
    if side < settings.min_face:
        message = (
            f"the picture is {width}x{height}, expected at least {settings.min_face} px a side"
        )
        return _noted(blank, message, status=TOO_SMALL)
    left, top = (width - side) / 2, (height - side) / 2
    square = np.array([left, top, left + side, top + side], dtype=np.float32)
    crop, _ = settings.crop(image, Face(square, np.zeros((5, 2), np.float32), 1.0), settings.size)
    remarks = [] if height == width else [f"{width}x{height}: the central square was taken"]
    found = settings.detector.detect(crop)
    if found:
        landmarks = main_face(found, crop).landmarks
    else:
        scale = getattr(settings.crop, "template_scale", 1.0)
        landmarks = template(settings.size, scale).astype(np.float32)
        remarks.append("no landmarks were found; those of the template were taken")
    return _write(crop, landmarks, _noted(blank, *remarks), photo.name, dst)


def _write(crop: np.ndarray, landmarks: np.ndarray, blank: Record, name: str, dst: Path) -> Record:
    face = PurePosixPath(blank.split, f"{name}.png").as_posix()
    write_image(dst / face, crop)
    boxes = boxes_from_landmarks(landmarks, len(crop))
    return replace(blank, face=face, landmarks=landmarks.tolist(), boxes=boxes.tolist())
