"""Compare translations between two domains with the truth, where the same scenes are in both.

Also compared: the translation after edge sharpening, and after a network of scale 1, such as RDN.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from faceskd.common.checks import check_positive, check_whole, is_number
from faceskd.common.errors import ConfigError, ImageError
from faceskd.common.files import make_folder, write_text
from faceskd.common.images import read_image, to_tensor, write_image
from faceskd.data.images import usable_images
from faceskd.data.unpaired import check_names
from faceskd.metrics import MetricSuite
from faceskd.models.base import PICTURES, TRANSLATIONS, SuperResolver, check_purpose
from faceskd.models.cyclegan import TRANSLATION
from faceskd.models.weights import read_weights, stored_network, stored_purpose
from faceskd.reporting.pictures import image_grid
from faceskd.reporting.tables import markdown_table

METRICS = ("psnr", "ssim")
SMALLEST = 16
"""Smaller pictures are left out, px."""
LARGEST_RADIUS = 5
"""Of the blur of edge sharpening, px: three times as much fits into the smallest picture."""
Step = Callable[[Tensor], Tensor]


def unsharp_mask(images: Tensor, *, amount: float = 0.5, radius: float = 1.0) -> Tensor:
    """Sharpen edges: x + amount (x - blur(x)), clamped to [0, 1]; (B, 3, H, W) as x.

    Args:
        images: images in [0, 1].
        amount: strength; 0 changes nothing.
        radius: standard deviation of the Gaussian blur, in px.
    """
    side = 2 * max(round(3 * radius), 1) + 1
    return (images + amount * (images - gaussian_blur(images, [side, side], [radius]))).clamp(0, 1)


def load_for(purpose: str, path: Path | str) -> tuple[SuperResolver, dict[str, Any]]:
    """A network of scale 1 from a weights file, and the metadata of the file.

    Args:
        purpose: what it must be for, see `faceskd.models.base.SuperResolver`.
        path: weights file.

    Raises:
        ConfigError: the network is of another scale, or needs component boxes.
        WeightsError: the file is missing or damaged, or the network is for something else.
    """
    stored = read_weights(path)
    network = stored_network(stored, path)
    if network.scale != 1 or network.needs_boxes:
        raise ConfigError(
            f"expected weights of a network of scale 1, such as cyclegan, in {str(path)!r}, got a "
            f"{type(network).__name__} of scale {network.scale}"
        )
    check_purpose(stored_purpose(stored.config, stored.metadata), purpose, str(path))
    return network, stored.metadata


@torch.no_grad()
def evaluate_translation(
    *,
    weights: Path | str,
    a: Path | str,
    b: Path | str,
    out: Path | str,
    refine: Path | str | None = None,
    amount: float = 0.5,
    radius: float = 1.0,
    show: int = 4,
) -> list[dict[str, Any]]:
    """Measure the translation of A's pictures against B's files of the same names.

    Writes `translation.md`, a table, and `translation.png`, the first pictures, to `out`. Pictures
    of another size than the first one are not in `translation.png`. The report states the direction
    in which the network was trained, because the folders do not tell whether it is the right one.

    Args:
        weights: weights file of the network from A to B; for one that was trained from B to A, give
            the folders the other way round.
        a, b: folders with files of the same names, which show the same scenes.
        out: folder for the report.
        refine: weights file of a network of scale 1 that is applied to the translation; None: none.
        amount, radius: of the edge sharpening, see `unsharp_mask`.
        show: number of pictures in `translation.png`.

    Returns:
        A row for each method, with `method` and the means of PSNR and SSIM: "untouched" is A's
        picture itself.

    Raises:
        ConfigError: names differ between the folders, a network is not of scale 1, or `amount`,
            `radius` or `show` is no such number.
        WeightsError: `weights` is of no translation, or `refine` is for something else.
        FaceskdError: a folder or file is missing or cannot be used.
    """
    check_positive(radius=radius)
    if radius > LARGEST_RADIUS:
        raise ConfigError(f"expected radius as at most {LARGEST_RADIUS} px, got {radius}")
    check_whole(0, show=show)
    if not is_number(amount):
        raise ConfigError(f"expected amount as a number, got {amount!r}")
    files_a, files_b = usable_images(a, SMALLEST), usable_images(b, SMALLEST)
    check_names(files_a, files_b, a, b)
    translate, metadata = load_for(TRANSLATIONS, weights)
    after: dict[str, Step] = {
        "translated": lambda images: images,
        "translated, sharpened": lambda images: unsharp_mask(images, amount=amount, radius=radius),
    }
    if refine is not None:
        network, _ = load_for(PICTURES, refine)
        after["translated, refined"] = lambda images: network(images).clamp(0, 1)
    out = make_folder(out)
    suites = {name: MetricSuite(METRICS) for name in ("untouched", *after)}
    shown: dict[str, list[Tensor]] = {name: [] for name in (*suites, "truth")}
    for file_a, file_b in track(list(zip(files_a, files_b, strict=True)), "pictures"):
        picture, truth = (to_tensor(read_image(file))[None] for file in (file_a, file_b))
        if picture.shape != truth.shape:
            raise ImageError(
                f"expected {file_a.name} of one size in both folders, got "
                f"{tuple(picture.shape[2:])} and {tuple(truth.shape[2:])}"
            )
        translated = translate(picture).clamp(0, 1)
        results = {"untouched": picture}
        results |= {name: step(translated) for name, step in after.items()}
        for name, image in results.items():
            suites[name].update(image, truth)
        if len(shown["truth"]) < show and all(truth.shape == t.shape for t in shown["truth"]):
            for name, image in (results | {"truth": truth}).items():
                shown[name].append(image)
    rows = [{"method": name} | suite.compute().summary() for name, suite in suites.items()]
    table = markdown_table(rows, better=suites["untouched"].better)
    direction = metadata.get(TRANSLATION, "not recorded")
    heading = f"{len(files_a)} pictures; direction of the network in its training: {direction}"
    write_text(out / "translation.md", f"{heading}\n\n{table}\n")
    (out / "translation.png").unlink(missing_ok=True)  # of an earlier run
    if shown["truth"]:
        grid = image_grid({name: torch.cat(images) for name, images in shown.items()})
        write_image(out / "translation.png", grid)
    return rows
