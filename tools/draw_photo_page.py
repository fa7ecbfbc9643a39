"""Draw restored faces, before and after, at 100 % and at 300 %: the pictures of docs/photos.md.

    python tools/draw_photo_page.py FILE --faces FACES --out docs/results

FILE is a network of scale 1 or 8. FACES is a folder like FACESKD_FACES. Each row shows a face of
tools/photo_page.yaml: the bad photo enlarged by Lanczos, restored, the original, and around the
eyes the first two at 300 %. With `--photo PHOTO` every face of a real photo is drawn as well, which
has no original.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from PIL import Image

from faceskd.common.checks import check_choice
from faceskd.common.config import fail
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import atomic_path, make_folder
from faceskd.common.images import read_image, to_tensor
from faceskd.data.photo_degradation import compressed, to_levels
from faceskd.evaluation.photos import HR_FACE, SQUARE, PhotoCase, resized
from faceskd.faces.detection import Face, MTCNNDetector
from faceskd.reporting.pictures import image_grid
from faceskd.restore.restorer import Restorer

LIST = Path(__file__).with_name("photo_page.yaml")
SIDE = 384
ZOOM = 3
FACES_IN_A_PICTURE = 4
QUALITY = 85
"""Of the pictures, which are WebP files."""

Degradation = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From a face that is reduced to its size, float32 in grey levels, to a bad photo of it."""


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    return to_levels(compressed(image, quality))


def noisy(image: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    return image + sigma * rng.standard_normal(image.shape, np.float32)


def grey(image: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def soft(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return jpeg(cv2.GaussianBlur(image, (0, 0), 1.3), 92)


def scanned(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    faded = 60 + 0.65 * cv2.GaussianBlur(image, (0, 0), 0.8)
    grain = cv2.GaussianBlur(rng.standard_normal(image.shape[:2]).astype(np.float32), (0, 0), 0.8)
    return jpeg(faded + (9 * grain / grain.std())[..., None], 85)


DEGRADATIONS: dict[str, Degradation] = {
    "phone": lambda image, rng: jpeg(noisy(image, 3, rng), 75),
    "soft": soft,
    "noisy": lambda image, rng: jpeg(noisy(image, 15, rng), 85),
    "blocky": lambda image, rng: jpeg(image, 20),
    "scanned": scanned,
    "dark": lambda image, rng: jpeg(noisy(0.3 * image, 4, rng), 80),
    "grey": lambda image, rng: jpeg(grey(noisy(image, 4, rng)), 75),
    "sharp": lambda image, rng: image.round().astype(np.uint8),
}


def case_of(entry: dict[str, Any], faces: Path, seed: int) -> PhotoCase:
    """The bad photo of an entry of the list.

    Raises:
        ConfigError: no face is found in the portrait, or there is no such degradation.
    """
    check_choice(DEGRADATIONS, kind=entry["kind"])
    portrait = read_image(faces / entry["portrait"])
    found = MTCNNDetector().detect(portrait)
    if not found:
        raise ConfigError(f"expected a face in {entry['portrait']}, found none")
    factor = HR_FACE / found[0].height
    hr = resized(portrait, [round(side * factor) for side in portrait.shape[1::-1]])
    face = Face(found[0].box * factor, found[0].landmarks * factor, found[0].score)
    sides = [max(round(side * entry["size"] / HR_FACE), 1) for side in hr.shape[1::-1]]
    small = cv2.resize(hr.astype(np.float32), sides, interpolation=cv2.INTER_AREA)
    photo = DEGRADATIONS[entry["kind"]](small, np.random.default_rng(seed))
    return PhotoCase(Path(entry["portrait"]).stem, entry["size"], photo, hr, face)


def drawn_row(squares: dict[str, np.ndarray], eyes: np.ndarray) -> dict[str, np.ndarray]:
    """The cells of a row, SIDE px each: the squares, and the first two around `eyes` at 300 %."""
    row = {name: resized(square, (SIDE, SIDE)) for name, square in squares.items()}
    part = SIDE // ZOOM
    left, top = (int(np.clip(c - part / 2, 0, SIDE - part)) for c in eyes)
    for name in list(row)[:2]:
        cut = row[name][top : top + part, left : left + part]
        row[f"{name}, 300 %"] = cut.repeat(ZOOM, 0).repeat(ZOOM, 1)
    return row


def portrait_row(case: PhotoCase, restorer: Restorer) -> dict[str, np.ndarray]:
    """The row of a portrait."""
    plain = resized(case.photo, case.hr.shape[1::-1])
    restored = restorer(case.photo, scale=case.scale).image
    squares = {"photo": case.square(plain), "restored": case.square(restored)}
    squares["original"] = case.square(case.hr)
    eyes = case.landmarks[:2].mean(0) * SIDE / squares["photo"].shape[0]
    return drawn_row(squares, eyes)


def photo_rows(path: Path, restorer: Restorer, scale: float) -> dict[str, dict[str, np.ndarray]]:
    """A row for each face of a real photo, by its name."""
    photo = read_image(path)
    result = restorer(photo, scale=scale)
    plain = resized(photo, result.image.shape[1::-1])
    rows = {}
    for number, face in enumerate(result.faces):
        box = face.box * scale
        side = SQUARE * float(box[3] - box[1])
        corner = (box[:2] + box[2:]) / 2 - side / 2
        matrix = np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]]) * SIDE / side
        squares = {
            name: cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC)
            for name, image in (("photo", plain), ("restored", result.image))
        }
        eyes = (face.landmarks[:2].mean(0) * scale - corner) * SIDE / side
        rows[f"face {number}, {face.box[3] - face.box[1]:.0f} px"] = drawn_row(squares, eyes)
    return rows


def write_pictures(rows: dict[str, dict[str, np.ndarray]], out: Path, stem: str) -> list[str]:
    """Write pictures of a few rows each; returns the names of the files."""
    names, files = list(rows), []
    for start in range(0, len(names), FACES_IN_A_PICTURE):
        chosen = names[start : start + FACES_IN_A_PICTURE]
        columns = {
            column: torch.stack([to_tensor(rows[name][column]) for name in chosen])
            for column in rows[chosen[0]]
        }
        files.append(f"{stem}_{start // FACES_IN_A_PICTURE + 1}.webp")
        with atomic_path(out / files[-1]) as temporary:
            Image.fromarray(image_grid(columns, chosen)).save(temporary, quality=QUALITY)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw a page of faces, before and after.")
    parser.add_argument("weights", help="a file of weights")
    parser.add_argument("--faces", type=Path, required=True, help="a folder like FACESKD_FACES")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the pictures")
    parser.add_argument("--list", type=Path, default=LIST, help="which faces to draw")
    parser.add_argument("--photo", type=Path, help="a real photo, whose faces are drawn as well")
    parser.add_argument("--scale", type=float, default=2, help="of the real photo; default: 2")
    parser.add_argument("--precision", default="auto")
    options = parser.parse_args()
    try:
        restorer = Restorer(options.weights, precision=options.precision)
        out = make_folder(options.out)
        rows = {}
        for seed, entry in enumerate(yaml.safe_load(options.list.read_text(encoding="utf-8"))):
            case = case_of(entry, options.faces, seed)
            label = f"{case.name}: {entry['kind']}, {entry['size']} px; {entry['shows']}"
            rows[label] = portrait_row(case, restorer)
        files = write_pictures(rows, out, "photos")
        if options.photo is not None:
            real = photo_rows(options.photo, restorer, options.scale)
            files += write_pictures(real, out, options.photo.stem)
    except FaceskdError as error:
        raise fail(error) from None
    print("\n".join(str(out / file) for file in files))


if __name__ == "__main__":
    main()
