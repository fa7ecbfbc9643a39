"""Draw the two pictures at the top of README, from faces that are free to show.

    python tools/draw_first_screen.py --out docs

The faces are NASA's public-domain portrait of Eileen Collins, which scikit-image contains, and
synthetic portraits. docs/faces.png shows aligned faces, degraded by eq. 8, and restored.
docs/photo.png shows a very small photo before and after restoration.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import skimage.data
from torch import Tensor

from faceskd import Restorer
from faceskd.common.images import read_image, to_tensor, write_image
from faceskd.common.listing import list_images
from faceskd.data.degradation import Eq8
from faceskd.faces.align import SimilarityCrop
from faceskd.faces.detection import MTCNNDetector
from faceskd.portraits import write_portraits
from faceskd.pretrained import SMALL_STUDENT
from faceskd.reporting.pictures import image_grid

SIZE = 256
SMALL_FACE = 36.0
"""Width of the face in the small photo, in px."""
SCALE = 6
PORTRAITS = (3, 5)
"""Indices of the synthetic portraits that are shown."""

Pictures = Sequence[np.ndarray] | np.ndarray


def main(out: Path) -> None:
    """Write both pictures, with models of the package."""
    photo, small = skimage.data.astronaut(), Restorer.from_pretrained(SMALL_STUDENT)
    write_image(out / "faces.png", draw_faces([photo, *_portraits()], small))
    write_image(out / "photo.png", draw_photo(photo, Restorer.from_pretrained()))


def draw_faces(photos: list[np.ndarray], restorer: Restorer) -> np.ndarray:
    """One row for each face: LR, bicubic, restored, HR."""
    detector, crop, degrade = MTCNNDetector(), SimilarityCrop(), Eq8()
    hr = [crop(photo, detector.detect(photo)[0], SIZE)[0] for photo in photos]
    lr = [degrade(face, np.random.default_rng(index)) for index, face in enumerate(hr)]
    bicubic = [cv2.resize(face, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC) for face in lr]
    columns: dict[str, Pictures] = {
        "32x32": lr,
        "bicubic": bicubic,
        f"faceskd {SMALL_STUDENT}": restorer.restore_faces(lr),
        "original": hr,
    }
    return image_grid({label: _tensors(faces) for label, faces in columns.items()})


def draw_photo(photo: np.ndarray, restorer: Restorer) -> np.ndarray:
    """Shrink the photo, then show it enlarged by Lanczos, restored, and as it was."""
    face = MTCNNDetector().detect(photo)[0]
    side = SCALE * round(photo.shape[0] * SMALL_FACE / face.width / SCALE)
    small = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    result = restorer(small, scale=SCALE).image
    height, width = result.shape[:2]
    columns = {
        f"{side}x{side}, Lanczos": cv2.resize(
            small, (width, height), interpolation=cv2.INTER_LANCZOS4
        ),
        f"restored at scale {SCALE}": result,
        "original": cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC),
    }
    x1, _, x2, y2 = (np.array(face.box) * width / photo.shape[1]).round().astype(int)
    half, centre = round(0.9 * (x2 - x1)), (x1 + x2) // 2
    window = slice(0, min(y2 + half, height)), slice(max(centre - half, 0), centre + half)
    return image_grid({label: _tensors([image[window]]) for label, image in columns.items()})


def _portraits() -> list[np.ndarray]:
    with TemporaryDirectory() as folder:
        write_portraits(
            dst=folder, count=max(PORTRAITS) + 1, splits={"train": 0.0, "val": 0.0, "test": 1.0}
        )
        paths = list_images(folder)
        return [read_image(paths[index]) for index in PORTRAITS]


def _tensors(images: Pictures) -> Tensor:
    return to_tensor(np.stack(list(images)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw README's first pictures.")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    main(parser.parse_args().out)
