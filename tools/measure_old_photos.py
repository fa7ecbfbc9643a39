"""Compare the scratch detector, and the repair of what it finds, with filters of OpenCV.

    python tools/measure_old_photos.py PICTURES DETECTOR [--weights OLD_MAPPING] --out OUT

The central square of every picture is reduced to 512 px; smaller ones are left out. Damage is as
thick as is usual in a photo of this size. `detection.md`: damage of one kind at a time is drawn on
it, as in the training; all else that ages a photo is drawn, too. Precision, recall and their
harmonic mean (Dice) are those of all pixels together. The alternative is the top-hat, the classic
filter for thin structures: its size and its threshold are those of the best Dice on these very
pictures, which favours it. `repair.md`: only what hides a part of the photo is drawn. It is filled
in by OpenCV's inpainting, with the detector's mask and with the true mask, and restored by the
network, if its weights are given. Figures are medians over the pictures; all methods get the same
files and are timed in turn. OUT also gets pictures.
"""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice, product
from pathlib import Path

import cv2
import numpy as np
import torch
from measure_pictures import FIGURES, SHOWN, SIDE, formatted, quality, timed
from rich.progress import track

from faceskd.common.files import write_text
from faceskd.common.images import read_image, write_image
from faceskd.common.listing import list_images
from faceskd.data.damage import Damaged, PhotoDamage
from faceskd.data.damage_shapes import SHAPES
from faceskd.models.old_picture import INPAINTING_RADIUS, OldPhoto
from faceskd.models.scratches import load_scratches, scratch_mask
from faceskd.reporting.tables import markdown_table

HAT_SIDES = (5, 9, 15, 25)
HAT_THRESHOLDS = range(10, 130, 10)
ALL = "all kinds"
USUAL = (1, 1)
"""Thickness of the damage: what is usual in a photo of this size."""
Finder = Callable[[np.ndarray], np.ndarray]
Repair = Callable[[Damaged], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("detector", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=60)
    given = parser.parse_args()
    squares = (square(read_image(path)) for path in list_images(given.pictures))
    pictures = list(islice((cut for cut in squares if cut is not None), given.limit))
    detector = load_scratches(given.detector)

    def find(photo: np.ndarray) -> np.ndarray:
        return scratch_mask(detector, photo)

    tables = {
        "detection": detection(pictures, find, given.out),
        "repair": repair(pictures, find, given.weights, given.out),
    }
    for name, rows in tables.items():
        table, threads = markdown_table(rows), torch.get_num_threads()
        write_text(
            given.out / f"{name}.md", f"{len(pictures)} pictures, {threads} threads\n\n{table}\n"
        )
        print(table)


def square(image: np.ndarray) -> np.ndarray | None:
    """The central square, RGB uint8 (512, 512, 3); None where it is smaller."""
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    cut = image[top : top + side, left : left + side]
    return None if side < SIDE else cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def detection(pictures: list[np.ndarray], find: Finder, out: Path) -> list[dict[str, str]]:
    """A row for each kind of damage and method."""
    every = {ALL: PhotoDamage(thickness=USUAL)}
    every |= {name: PhotoDamage(thickness=USUAL, structural={name: 1}) for name in SHAPES}
    rows = []
    for kind, damage in every.items():
        photos = [damage.damaged(hr, np.random.default_rng(n)) for n, hr in enumerate(pictures)]
        found = [find(case.photo) for case in track(photos, kind)]
        for method, masks in {"detector": found, "top-hat": best_top_hat(photos)}.items():
            rows.append({"damage": kind, "method": method} | scores(photos, masks))
        for number, (case, mask) in enumerate(zip(photos[:SHOWN], found, strict=False)):
            shown = [case.photo, *(cv2.cvtColor(m, cv2.COLOR_GRAY2RGB) for m in (mask, case.mask))]
            write_image(out / f"{kind.replace(' ', '_')}-{number}.png", np.hstack(shown))
    return rows


def counts(photos: list[Damaged], masks: list[np.ndarray]) -> tuple[int, int, int]:
    """Pixels that are marked rightly, that are marked, and that are damaged."""
    pairs = [(case.mask > 0, mask > 0) for case, mask in zip(photos, masks, strict=True)]
    return (
        sum(int((truth & mask).sum()) for truth, mask in pairs),
        sum(int(mask.sum()) for _, mask in pairs),
        sum(int(truth.sum()) for truth, _ in pairs),
    )


def dice(photos: list[Damaged], masks: list[np.ndarray]) -> float:
    hits, marked, damaged = counts(photos, masks)
    return 2 * hits / max(marked + damaged, 1)


def scores(photos: list[Damaged], masks: list[np.ndarray]) -> dict[str, str]:
    hits, marked, damaged = counts(photos, masks)
    found = {
        "precision": hits / max(marked, 1),
        "recall": hits / max(damaged, 1),
        "Dice": dice(photos, masks),
    }
    return {name: f"{value:.3f}" for name, value in found.items()}


def best_top_hat(photos: list[Damaged]) -> list[np.ndarray]:
    """The masks of the size and the threshold with the best Dice on these photos."""
    hats = {side: [top_hat(case.photo, side) for case in photos] for side in HAT_SIDES}
    return max(
        ([hat >= least for hat in hats[side]] for side, least in product(hats, HAT_THRESHOLDS)),
        key=lambda masks: dice(photos, masks),
    )


def top_hat(photo: np.ndarray, side: int) -> np.ndarray:
    """How much lighter or darker a pixel is than its surroundings, uint8 (H, W)."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    kinds = (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)
    return np.maximum(*(cv2.morphologyEx(grey, kind, element) for kind in kinds))


def repair(
    pictures: list[np.ndarray], find: Finder, weights: Path | None, out: Path
) -> list[dict[str, str]]:
    """A row for each method."""
    damage = PhotoDamage(
        photo=None, monochrome=0, fading=0, stains=0, grain=0, thickness=USUAL, jpeg=None
    )
    methods = repairs(find, weights)
    figures: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
    for number, hr in enumerate(track(pictures, "repair")):
        case, shown = damage.damaged(hr, np.random.default_rng(number)), []
        for name, method in methods.items():
            sr, seconds = timed(partial(method, case))
            figures[name].append((*quality(sr, case.clean), seconds))
            shown.append(sr)
        if number < SHOWN:
            write_image(out / f"repair-{number}.png", np.hstack([*shown, case.clean]))
    return [
        {"method": name} | dict(zip(FIGURES, formatted(values), strict=True))
        for name, values in figures.items()
    ]


def repairs(find: Finder, weights: Path | None) -> Mapping[str, Repair]:
    filled = OldPhoto(None)
    methods: dict[str, Repair] = {
        "untouched": lambda case: case.photo,
        "Telea, detected": lambda case: filled.restore(case.photo, find(case.photo))[0],
        "Navier-Stokes, detected": lambda case: cv2.inpaint(
            case.photo, find(case.photo), INPAINTING_RADIUS, cv2.INPAINT_NS
        ),
        "Telea, true mask": lambda case: filled.restore(case.photo, case.mask)[0],
    }
    if weights is not None:
        network = OldPhoto.load(weights)
        methods["network, detected"] = lambda case: network.restore(case.photo, find(case.photo))[0]
    return methods


if __name__ == "__main__":
    main()
