"""Figure 1 of Jo et al. 2021: landmarks found on HR faces and on the same faces at low resolution.

The figure shows why a student without landmarks is useful. The teacher needs landmarks to look up
its dictionary, but on LR faces a detector finds them with large errors, or not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from rich.progress import track

from faceskd.common.files import make_folder
from faceskd.common.images import to_tensor, to_uint8, write_image
from faceskd.data.dataset import HR_SIZE
from faceskd.data.pairs import FacePairs
from faceskd.evaluation.evaluate import bootstrap_interval
from faceskd.faces.components import five_points
from faceskd.faces.detection import Detector, MTCNNDetector
from faceskd.faces.lr_faces import LR_SIZE
from faceskd.reporting.pictures import image_grid
from faceskd.reporting.tables import write_csv

LEAST_FACE = 0.35
"""Smallest face that the detector looks for, as a share of the side of the crop."""
ON_HR = (60, 220, 60)
ON_LR = (255, 60, 60)
RADIUS = 4  # pixels, of a dot in a 256 px face


@dataclass(frozen=True)
class LandmarkPair:
    """The five landmarks of one face, in pixels of its HR image; None where no face was found.

    Attributes:
        name: name of the face.
        on_hr, on_lr: landmarks found on the HR and on the LR image, (5, 2).
    """

    name: str
    on_hr: np.ndarray | None
    on_lr: np.ndarray | None

    @property
    def error(self) -> float | None:
        """Mean distance between the two over that of the eyes; None if one is missing."""
        if self.on_hr is None or self.on_lr is None:
            return None
        return inter_ocular_error(self.on_lr, self.on_hr)


def inter_ocular_error(points: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of five points (5, 2) to the true ones, over the true distance of the eyes.

    Examples:
        >>> truth = np.array([[0, 0], [10, 0], [5, 5], [2, 10], [8, 10]])
        >>> inter_ocular_error(truth + [1, 0], truth)
        0.1
    """
    eyes = np.linalg.norm(truth[1] - truth[0])
    return float(np.linalg.norm(points - truth, axis=-1).mean() / eyes)


def find_pairs(dataset: FacePairs, *, on_hr: Detector, on_lr: Detector) -> list[LandmarkPair]:
    """Detect landmarks on the HR and on the LR image of every face."""
    pairs = []
    for index in track(range(len(dataset)), "landmarks", transient=True):
        item = dataset[index]
        hr, lr = (to_uint8(item[key][None])[0] for key in ("hr", "lr"))
        scale = hr.shape[0] / lr.shape[0]
        pairs.append(LandmarkPair(item["name"], _find(on_hr, hr, 1), _find(on_lr, lr, scale)))
    return pairs


def _find(detector: Detector, image: np.ndarray, scale: float) -> np.ndarray | None:
    faces = detector.detect(image)
    return five_points(faces[0].landmarks) * scale if faces else None


def summarise(pairs: Sequence[LandmarkPair]) -> dict[str, Any]:
    """How often landmarks were found, and the error of those on LR: mean, median, 95 % interval."""
    errors = [error for pair in pairs if (error := pair.error) is not None]
    summary: dict[str, Any] = {
        "faces": len(pairs),
        "found_on_hr": sum(pair.on_hr is not None for pair in pairs),
        "found_on_lr": sum(pair.on_lr is not None for pair in pairs),
    }
    if errors:
        summary |= {"mean_error": float(np.mean(errors)), "median_error": float(np.median(errors))}
    if len(errors) > 1:
        summary["interval_95"] = bootstrap_interval(errors)
    return summary


def write_landmark_figure(dataset: FacePairs, out: Path | str, *, show: int = 6) -> dict[str, Any]:
    """Write landmarks.csv and landmarks.png (points on HR in green, on LR in red) into `out`.

    MTCNN detects the landmarks; it enlarges images as small as LR first.

    Args:
        dataset: the faces.
        out: folder for the two files.
        show: number of faces in the picture; the table has all. 0: no picture.

    Returns:
        The result of `summarise` for all faces.
    """
    out = make_folder(out)
    on_hr, on_lr = (MTCNNDetector(min_face=LEAST_FACE * side) for side in (HR_SIZE, LR_SIZE))
    pairs = find_pairs(dataset, on_hr=on_hr, on_lr=on_lr)
    rows = [
        {"name": p.name, "found_on_hr": p.on_hr is not None, "found_on_lr": p.on_lr is not None,
         "error": p.error}
        for p in pairs
    ]  # fmt: skip
    write_csv(out / "landmarks.csv", rows)
    if show:
        write_image(out / "landmarks.png", _picture(dataset, pairs[:show]))
    return summarise(pairs)


def _picture(dataset: FacePairs, pairs: Sequence[LandmarkPair]) -> np.ndarray:
    columns: dict[str, list[np.ndarray]] = {"HR": [], "LR": []}
    for index, pair in enumerate(pairs):
        item = dataset[index]
        hr = to_uint8(item["hr"][None])[0]
        lr = to_uint8(item["lr"][None])[0].repeat(8, axis=0).repeat(8, axis=1)
        columns["HR"].append(_dotted(hr, (pair.on_hr, ON_HR)))
        columns["LR"].append(_dotted(lr, (pair.on_hr, ON_HR), (pair.on_lr, ON_LR)))
    labels = ["not found" if p.error is None else f"error {p.error:.3f}" for p in pairs]
    images = {name: to_tensor(np.stack(faces)) for name, faces in columns.items()}
    return image_grid(images, labels)


def _dotted(image: np.ndarray, *sets: tuple[np.ndarray | None, tuple[int, int, int]]) -> np.ndarray:
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    for points, colour in sets:
        for x, y in points if points is not None else ():
            draw.ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), fill=colour)
    return np.asarray(canvas)
