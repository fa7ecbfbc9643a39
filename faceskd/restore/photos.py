"""Restore folders of photos. The folders of the results are named as in GFPGAN and CodeFormer.

OUT/restored_imgs/a.jpg      the photo: faces restored, the rest enlarged
OUT/cropped_faces/a_00.png   each aligned face before restoring, largest first
OUT/restored_faces/a_00.png  the same face after restoring; none if it was not changed
OUT/cmp/a_00.png             both side by side
OUT/masks/a.png              of an old photo: where it was damaged, white
OUT/a.mp4                    a restored video
OUT/results.csv              one row for each face (`faceskd.restore.results`)
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from faceskd.common.errors import FaceskdError
from faceskd.common.images import write_image
from faceskd.data.manifest import OK
from faceskd.data.picture import DAMAGED, NO_FACE
from faceskd.faces.detection import Detector
from faceskd.restore.background import Enlarge
from faceskd.restore.photo import (
    PhotoFace,
    PhotoSettings,
    add_detail,
    find_faces,
    network_inputs,
    put_back,
)
from faceskd.restore.photo_files import check_extension, extension, read_photo, write_photo
from faceskd.restore.restorer import Restorer
from faceskd.restore.results import InputFile, Result, joined
from faceskd.restore.stream import Read
from faceskd.restore.video import restore_video

IMAGES, CROPPED, RESTORED, COMPARED = "restored_imgs", "cropped_faces", "restored_faces", "cmp"
MASKS = "masks"
RESULT_FOLDERS = (IMAGES, CROPPED, RESTORED, COMPARED, MASKS)
"""All folders of results, whatever the task."""


class WholePhotos:
    """Task for photos with any number of faces.

    Args:
        detector: finds the faces.
        settings: how photos are restored.
        scene: enlarges backgrounds (`faceskd.restore.restorer.Restorer.scene`).
        repair: repairs each photo before its faces are found (`faceskd.restore.old_photos.Repair`).
        paste_back: write `restored_imgs/`.
        ext: format of the restored photos: "png", "jpg", "webp", or "auto" for that of the input.

    Attributes:
        on_frame: called after each frame of a video, in both passes.

    Raises:
        ConfigError: `ext` is unknown.
    """

    suffixes: tuple[str, ...] = (".png", ".jpg", ".webp")
    ahead = 4

    def __init__(
        self,
        detector: Detector,
        settings: PhotoSettings,
        *,
        scene: Enlarge | None = None,
        repair: Callable[[np.ndarray, str], tuple[np.ndarray, np.ndarray, str]] | None = None,
        paste_back: bool = True,
        ext: str = "auto",
    ) -> None:
        self._ext = check_extension(ext)
        detector.fetch()
        self._detector = detector
        self._settings = settings
        self._scene = scene
        self._repair = repair
        self._paste_back = paste_back
        self.on_frame: Callable[[], None] = lambda: None
        masks = () if repair is None else (MASKS,)
        self.folders: tuple[str, ...] = (IMAGES, CROPPED, RESTORED, COMPARED, *masks)

    def read(self, input_file: InputFile) -> Read:
        """Read a photo and find its faces."""
        photo = read_photo(input_file.path, input_file.page)
        if self._paste_back:
            self._settings.size(photo.image)
        mask = None
        if self._repair is not None:
            image, mask, note = self._repair(photo.image, input_file.name)
            photo = replace(photo, image=image, notes=(*photo.notes, *filter(None, [note])))
        faces = find_faces(photo.image, self._detector, self._settings)
        return Read(input_file, network_inputs(photo.image, faces), (photo, faces, mask))

    def write(self, read: Read, restored: Sequence[np.ndarray], out: Path) -> list[Result]:
        """Write the photo and its faces."""
        photo, faces, mask = read.state
        given = read.input_file
        if mask is not None:
            write_image(out / MASKS / f"{given.name}.png", mask)
        faces = add_detail(faces, restored, self._settings.strength)
        image, notes = "", list(photo.notes)
        if self._paste_back:
            image = f"{IMAGES}/{given.name}.{extension(given.path.name, self._ext)}"
            result = put_back(photo.image, faces, self._settings, self._scene)
            notes += write_photo(out / image, result, photo)
        if not faces:
            message = joined("no face was found", notes)
            return [Result(given.source, NO_FACE, message, image=image)]
        return [
            self._write_face(read.input_file, number, face, image, notes, out)
            for number, face in enumerate(faces)
        ]

    def restore_video(self, restorer: Restorer, input_file: InputFile, out: Path) -> list[Result]:
        """Restore a video; old ones are not repaired, and their faces are not written apart."""
        if self._repair is not None:
            raise FaceskdError("expected an image for old photos, got a video; use --kind photo")
        if not self._paste_back:
            raise FaceskdError(
                "expected an image with --no-paste-back, got a video; restore it without"
            )
        summary = restore_video(
            restorer,
            input_file.path,
            out,
            self._settings,
            name=input_file.name,
            on_frame=self.on_frame,
        )
        output = summary.path.relative_to(out).as_posix()
        status = DAMAGED if summary.losses else OK
        return [Result(input_file.source, status, str(summary), output)]

    def _write_face(
        self,
        input_file: InputFile,
        number: int,
        face: PhotoFace,
        image: str,
        notes: list[str],
        out: Path,
    ) -> Result:
        name = f"{input_file.name}_{number:02d}.png"
        write_image(out / CROPPED / name, face.crop)
        output = ""
        if face.addition is not None:
            output = f"{RESTORED}/{name}"
            write_image(out / output, face.restored)
            write_image(out / COMPARED / name, np.hstack([face.crop, face.restored]))
        x1, y1, x2, y2 = (round(float(value), 1) for value in face.box)
        return Result(
            input_file.source,
            face.status,
            joined(face.message, notes),
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
