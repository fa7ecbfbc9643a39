"""Compare networks for drawings or for backgrounds with filters: quality, and time for a megapixel.

    python tools/measure_pictures.py drawings DRAWINGS/test WEIGHTS... --out OUT
    python tools/measure_pictures.py scenes SCENES/val WEIGHTS --out OUT

For drawings, WEIGHTS are four files, for the levels of noise 0 to 3. Every picture is cut to 512 px
in its middle and degraded; drawings at each level, at their size and reduced to half of it; scenes
as `faceskd evaluate photos=` degrades photos, at their size and reduced 2 and 4 times. Each is
restored by Lanczos enlargement alone, by Lanczos after a bilateral filter, by Lanczos after
non-local means, and by the network. All methods get the same files and are timed in turn. OUT gets
table.md and pictures. Figures are medians over the pictures. NIQE compares with photographs, so it
says little of drawings.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.progress import track

from faceskd.common.errors import ConfigError
from faceskd.common.files import write_text
from faceskd.common.images import read_image, to_tensor, write_image
from faceskd.common.listing import list_images
from faceskd.data.drawing_degradation import LEVELS, compressed
from faceskd.evaluation.photos import bad_photo
from faceskd.metrics import MetricUnavailable, psnr, ssim
from faceskd.metrics.lpips import Lpips
from faceskd.metrics.niqe import NiqeModel
from faceskd.reporting.tables import markdown_table
from faceskd.restore.background import LARGEST_SCALE, enlarged_background
from faceskd.restore.whole_pictures import PictureRestorer

SIDE = 512
SHOWN = 6
FIGURES = {
    "PSNR, dB": ".2f",
    "SSIM": ".4f",
    "LPIPS": ".3f",
    "NIQE": ".2f",
    "seconds for a megapixel": ".3f",
}
Method = Callable[[np.ndarray], np.ndarray]
Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Case = tuple[dict[str, int], Degrade, int, Path]
"""What tells it apart, how pictures are degraded, the scale of the restoration, and weights."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["drawings", "scenes"])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=60)
    given = parser.parse_args()
    pictures = [middle(read_image(path)) for path in list_images(given.pictures)[: given.limit]]
    cases = drawing_cases if given.kind == "drawings" else scene_cases
    rows = [row for case in cases(given.weights) for row in measure(pictures, case, given.out)]
    table = markdown_table(rows)
    threads = torch.get_num_threads()
    write_text(given.out / "table.md", f"{len(pictures)} pictures, {threads} threads\n\n{table}\n")
    print(table)


def drawing_cases(weights: list[Path]) -> Iterator[Case]:
    """Each level of noise at the scales 1 and 2."""
    if len(weights) != len(LEVELS):
        raise ConfigError(f"expected {len(LEVELS)} files of weights, got {len(weights)}")
    for scale in (1, 2):
        for level, path in enumerate(weights):
            if (level, scale) != (0, 1):  # there, nothing is lost
                degrade = partial(bad_drawing, level=level, scale=scale)
                yield {"noise": level, "scale": scale}, degrade, scale, path


def scene_cases(weights: list[Path]) -> Iterator[Case]:
    """The scales 1, 2 and 4."""
    if len(weights) != 1:
        raise ConfigError(f"expected 1 file of weights, got {len(weights)}")
    for scale in (1, 2, 4):
        yield {"scale": scale}, partial(bad_photo, reduction=scale), scale, weights[0]


def bad_drawing(hr: np.ndarray, rng: np.random.Generator, *, level: int, scale: int) -> np.ndarray:
    """The drawing as it comes: reduced by area averaging, and compressed once."""
    side = SIDE // scale
    image = cv2.resize(hr, (side, side), interpolation=cv2.INTER_AREA)
    settings = LEVELS[level]
    return image if settings is None else compressed(image, round(np.mean(settings[0])), rng)


def middle(image: np.ndarray) -> np.ndarray:
    """The middle of a picture, RGB uint8 (512, 512, 3), white around it where it is smaller."""
    canvas = np.full((SIDE, SIDE, 3), 255, np.uint8)
    top, left = (max(side - SIDE, 0) // 2 for side in image.shape[:2])
    cut = image[top : top + SIDE, left : left + SIDE]
    canvas[: cut.shape[0], : cut.shape[1]] = cut
    return canvas


def filters(scale: int) -> dict[str, Method]:
    """Lanczos enlargement, alone and after filters against noise."""

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


def measure(pictures: list[np.ndarray], case: Case, out: Path) -> list[dict[str, int | str]]:
    """The rows of one case, a method each."""
    label, degrade, scale, weights = case
    network = PictureRestorer(weights, scale=scale, trained_scale=LARGEST_SCALE)
    methods = filters(scale) | {"network": network}
    name = "-".join(f"{key}{value}" for key, value in label.items())
    figures: dict[str, list[tuple[float, ...]]] = {method: [] for method in methods}
    for number, hr in enumerate(track(pictures, name)):
        lr, shown = degrade(hr, np.random.default_rng(number)), []
        for method, restore in methods.items():
            sr, seconds = timed(partial(restore, lr))
            figures[method].append((*quality(sr, hr), seconds))
            shown.append(sr)
        if number < SHOWN:
            write_image(out / f"{name}-{number}.png", np.hstack([shown[0], shown[-1], hr]))
    return [
        label | {"method": method} | dict(zip(FIGURES, formatted(values), strict=True))
        for method, values in figures.items()
    ]


def timed(restore: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """A restored picture, (H, W, 3), and the seconds for a megapixel."""
    started = time.perf_counter()
    sr = restore()
    return sr, (time.perf_counter() - started) * 1e6 / (sr.shape[0] * sr.shape[1])


def quality(sr: np.ndarray, hr: np.ndarray) -> tuple[float, ...]:
    """PSNR, SSIM, LPIPS and NIQE; NaN where a picture is flat in too many places for NIQE."""
    pair = to_tensor(sr[None]), to_tensor(hr[None])
    with torch.inference_mode():
        fidelity = float(psnr(*pair)), float(ssim(*pair)), float(lpips().per_image(*pair, None))
    try:
        return (*fidelity, niqe().distance(pair[0][0]))
    except MetricUnavailable:
        return (*fidelity, float("nan"))


def formatted(values: list[tuple[float, ...]]) -> list[str]:
    medians = np.nanmedian(values, axis=0)
    return [f"{value:{form}}" for value, form in zip(medians, FIGURES.values(), strict=True)]


@cache
def lpips() -> Lpips:
    return Lpips("lpips_squeeze")


@cache
def niqe() -> NiqeModel:
    return NiqeModel.load()


if __name__ == "__main__":
    main()
