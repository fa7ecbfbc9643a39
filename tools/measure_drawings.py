"""Compare the networks for drawings with filters: PSNR, SSIM, NIQE, and seconds for a megapixel.

    python tools/measure_drawings.py DRAWINGS/test WEIGHTS... --out OUT

WEIGHTS are four files, for the levels of noise 0 to 3. Every drawing is cut to 512 px in its
middle, degraded at each level, at its size and reduced to half of it, and restored by Lanczos
enlargement alone, by Lanczos after a bilateral filter, by Lanczos after non-local means, and by the
network. All methods get the same files and are timed in turn. OUT gets table.md and pictures.
Figures are medians over the drawings. NIQE compares with photographs, so it says little here.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track

from faceskd.common.files import write_text
from faceskd.common.images import read_image, to_tensor, write_image
from faceskd.common.listing import list_images
from faceskd.data.drawing_degradation import LEVELS, compressed
from faceskd.metrics import MetricUnavailable, psnr, ssim
from faceskd.metrics.niqe import NiqeModel
from faceskd.reporting.tables import markdown_table
from faceskd.restore.background import enlarged_background
from faceskd.restore.whole_pictures import PictureRestorer

SIDE = 512
SCALES = (1, 2)
SHOWN = 6
Method = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drawings", type=Path)
    parser.add_argument("weights", type=Path, nargs=len(LEVELS))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=60)
    given = parser.parse_args()
    drawings = [middle(read_image(path)) for path in list_images(given.drawings)[: given.limit]]
    rows, cases = [], [(level, scale) for scale in SCALES for level in range(len(LEVELS))]
    for level, scale in cases:
        if (level, scale) == (0, 1):
            continue  # nothing is lost
        methods = filters(scale) | {"network": PictureRestorer(given.weights[level], scale=scale)}
        rows += measure(drawings, methods, level, scale, given.out)
    table = markdown_table(rows)
    threads = torch.get_num_threads()
    write_text(given.out / "table.md", f"{len(drawings)} drawings, {threads} threads\n\n{table}\n")
    print(table)


def middle(image: np.ndarray) -> np.ndarray:
    """The middle of a drawing, RGB uint8 (512, 512, 3), white around it where it is smaller."""
    canvas = np.full((SIDE, SIDE, 3), 255, np.uint8)
    top, left = (max(side - SIDE, 0) // 2 for side in image.shape[:2])
    cut = image[top : top + SIDE, left : left + SIDE]
    canvas[: cut.shape[0], : cut.shape[1]] = cut
    return canvas


def filters(scale: int) -> dict[str, Method]:
    def enlarged(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        return enlarged_background(image, (scale * width, scale * height), "lanczos")

    return {
        "lanczos": enlarged,
        "bilateral": lambda image: enlarged(cv2.bilateralFilter(image, 7, 30, 3)),
        "non-local means": lambda image: enlarged(
            cv2.fastNlMeansDenoisingColored(image, None, 5, 5, 5, 15)
        ),
    }


def measure(
    drawings: list[np.ndarray], methods: dict[str, Method], level: int, scale: int, out: Path
) -> list[dict[str, object]]:
    """The rows of one level and scale."""
    figures: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
    for number, hr in enumerate(track(drawings, f"level {level}, scale {scale}")):
        lr, shown = degraded(hr, level, scale, np.random.default_rng(number)), []
        for name, method in methods.items():
            started = time.perf_counter()
            sr = method(lr)
            seconds = (time.perf_counter() - started) * 1e6 / (sr.shape[0] * sr.shape[1])
            pair = to_tensor(sr[None]), to_tensor(hr[None])
            fidelity = float(psnr(*pair)), float(ssim(*pair))
            figures[name].append((*fidelity, naturalness(pair[0][0]), seconds))
            shown.append(sr)
        if number < SHOWN:
            path = out / f"level{level}-scale{scale}-{number}.png"
            write_image(path, np.hstack([shown[0], shown[-1], hr]))
    return [
        {
            "noise": level,
            "scale": scale,
            "method": name,
            "PSNR, dB": f"{medians[0]:.2f}",
            "SSIM": f"{medians[1]:.4f}",
            "NIQE": f"{medians[2]:.2f}",
            "seconds for a megapixel": f"{medians[3]:.3f}",
        }
        for name, values in figures.items()
        for medians in [np.nanmedian(values, axis=0)]
    ]


def naturalness(image: torch.Tensor) -> float:
    """NIQE; NaN where a drawing is flat in too many places."""
    try:
        return NiqeModel.load().distance(image)
    except MetricUnavailable:
        return float("nan")


def degraded(hr: np.ndarray, level: int, scale: int, rng: np.random.Generator) -> np.ndarray:
    """The drawing as it comes: reduced by area averaging, and compressed once."""
    side = SIDE // scale
    image = cv2.resize(hr, (side, side), interpolation=cv2.INTER_AREA)
    settings = LEVELS[level]
    return image if settings is None else compressed(image, round(np.mean(settings[0])), rng)


if __name__ == "__main__":
    main()
