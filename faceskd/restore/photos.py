"""Folders of whole photos: results in the folders that users of GFPGAN and CodeFormer know.

OUT/restored_imgs/a.jpg      the photo, its faces restored, the rest enlarged
OUT/cropped_faces/a_00.png   each face as it was, aligned, 256x256, largest first
OUT/restored_faces/a_00.png  the same, restored; left ones have none
OUT/cmp/a_00.png             both side by side
OUT/results.csv              what became of every face
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faceskd.common.errors import ConfigError
from faceskd.common.images import write_image
from faceskd.data.picture import NO_FACE
from faceskd.faces.detection import Detector
from faceskd.restore.photo import (
    PhotoFace,
    PhotoSettings,
    add_detail,
    find_faces,
    lr_faces,
    put_back,
)
from faceskd.restore.photo_files import EXTENSIONS, extension, read_photo, write_photo
from faceskd.restore.plan import InputFile
from faceskd.restore.stream import Read, Result

IMAGES, CROPPED, RESTORED, COMPARED = "restored_imgs", "cropped_faces", "restored_faces", "cmp"


@dataclass(frozen=True)
class FaceResult(Result):
    """What became of one face of a photo.

    Attributes:
        image: the restored photo, relative to the folder of results.
        face: its number in the photo, largest first.
        x1, y1, x2, y2: its box in pixels of the upright photo.
        size: pixels of the photo across the aligned face.
        score: the detector's confidence, 0 to 1.
    """

    image: str = ""
    face: int | None = None
    x1: float | None = None
    y1: float | None = None
    x2: float | None = None
    y2: float | None = None
    size: float | None = None
    score: float | None = None


class WholePhotos:
    """Each file is a photo with any number of faces.

    Args:
        detector: finds the faces.
        settings: what a photo is to become.
        paste_back: write `restored_imgs/`.
        ext: format of the restored photos: "png", "jpg", "webp", or "auto", the photo's own.

    Raises:
        ConfigError: another `ext`.
    """

    suffixes: tuple[str, ...] = (".png", ".jpg", ".webp")
    ahead = 4

    def __init__(
        self,
        detector: Detector,
        settings: PhotoSettings,
        *,
        paste_back: bool = True,
        ext: str = "auto",
    ) -> None:
        if ext not in EXTENSIONS:
            raise ConfigError(f"expected ext as one of {', '.join(EXTENSIONS)}, got {ext!r}")
        detector.fetch()
        self._detector = detector
        self._settings = settings
        self._paste_back = paste_back
        self._ext = ext
        self.folders: tuple[str, ...] = (IMAGES, CROPPED, RESTORED, COMPARED)

    def read(self, input_file: InputFile) -> Read:
        """Read a photo and find its faces."""
        photo = read_photo(input_file.path)
        if self._paste_back:
            self._settings.size(photo.image)
        faces = find_faces(photo.image, self._detector, self._settings)
        return Read(input_file, lr_faces(photo.image, faces), (photo, faces))

    def write(self, read: Read, restored: Sequence[np.ndarray], out: Path) -> list[Result]:
        """Write the photo and its faces."""
        photo, faces = read.state
        faces = add_detail(faces, restored, self._settings.strength)
        image = ""
        if self._paste_back:
            image = (
                f"{IMAGES}/{read.input_file.name}.{extension(read.input_file.source, self._ext)}"
            )
            write_photo(out / image, put_back(photo.image, faces, self._settings), photo)
        if not faces:
            return [FaceResult(read.input_file.source, NO_FACE, "no face was found", image=image)]
        return [
            self._write_face(read.input_file, number, face, image, out)
            for number, face in enumerate(faces)
        ]

    def _write_face(
        self, input_file: InputFile, number: int, face: PhotoFace, image: str, out: Path
    ) -> FaceResult:
        name = f"{input_file.name}_{number:02d}.png"
        write_image(out / CROPPED / name, face.crop)
        output = ""
        if face.addition is not None:
            output = f"{RESTORED}/{name}"
            write_image(out / output, face.restored)
            write_image(out / COMPARED / name, np.hstack([face.crop, face.restored]))
        x1, y1, x2, y2 = (round(float(value), 1) for value in face.box)
        return FaceResult(
            input_file.source,
            face.status,
            face.message,
            output,
            image,
            face=number,
            x1=x1,
            y1=y1,
            x2=x2,
            y2=y2,
            size=round(face.size, 1),
            score=round(face.score, 3),
        )
