"""Eight faces that every released network is held to, wherever the package is installed.

Seven are drawn portraits, one is scikit-image's astronaut. `golden/<name>@<version>.json` has the
figures of each released network, and `golden/lr_faces.png` the LR faces that they were made from.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F

from faceskd.common.files import write_text
from faceskd.common.images import read_image, to_tensor
from faceskd.faces.align import similarity_crop, transform_points
from faceskd.faces.components import boxes_from_landmarks, five_points
from faceskd.metrics.fidelity import psnr
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import bicubic
from faceskd.portraits import render_portrait

GOLDEN = "golden"
LR_FACES = Path(__file__).parent / GOLDEN / "lr_faces.png"
DRAWN = ((100, 0), (101, 1), (112, 0), (113, 1), (118, 0), (121, 1), (136, 0))
"""Identity and photo of portraits: fair and dark skin, beards, glasses, a turned head."""
ASTRONAUT = ((204.3, 103.1), (246.9, 104.5), (225.7, 130.2), (202.0, 140.9), (245.5, 141.9))
"""The five points of scikit-image's photograph, by MTCNN; stored, for detection is not measured."""
WITHIN = {"psnr": 0.002, "mean": 5e-5, "std": 5e-5, "blocks": 1e-4}
"""SSE4.1, AVX2 and AVX-512 differ by 1e-5 at most; half a level of 8 bit is 2e-3."""
Figures = Mapping[str, Mapping[str, Any]]
"""Row -> figure -> value, or a list of values."""


@dataclass(frozen=True)
class GoldenFaces:
    """Eight faces: names, HR (8, 3, 256, 256), component boxes (8, 4, 4)."""

    names: list[str]
    hr: np.ndarray
    boxes: torch.Tensor


@cache
def golden_faces() -> GoldenFaces:
    """Seven drawn portraits, cut by their exact landmarks, and the astronaut."""
    pictures = {"astronaut": (skimage.data.astronaut(), np.array(ASTRONAUT, np.float32))}
    for identity, photo in DRAWN:
        portrait = render_portrait(identity, photo)
        points = five_points(portrait.landmarks + 0.5)  # from centres to edges of pixels
        pictures[f"{portrait.identity}-{photo}"] = (portrait.image, points)
    crops, boxes = [], []
    for image, points in pictures.values():
        crop, matrix = similarity_crop(image, points)
        crops.append(crop)
        boxes.append(boxes_from_landmarks(transform_points(points, matrix)))
    return GoldenFaces(list(pictures), np.stack(crops), torch.from_numpy(np.stack(boxes)))


def stored_lr_faces() -> torch.Tensor:
    """The LR faces as they were stored, (8, 3, 32, 32): networks do not suffer from eq. 8."""
    strip = read_image(LR_FACES)
    return torch.stack([to_tensor(lr) for lr in np.split(strip, strip.shape[1] // 32, axis=1)])


def golden_figures(network: SuperResolver) -> dict[str, dict[str, Any]]:
    """PSNR in dB, mean, standard deviation, and means of 8x8 blocks, of each SR face.

    Networks of scale 1 get the LR faces enlarged bicubically.
    """
    faces = golden_faces()
    side = network.size
    lr = stored_lr_faces()
    if network.scale == 1:
        lr = bicubic(lr, side // lr.shape[-1])
    with torch.inference_mode():
        sr = network.eval()(lr, faces.boxes * (side / faces.hr.shape[1]))
    hr = torch.stack([to_tensor(face) for face in faces.hr])
    hr = hr if side == hr.shape[-1] else bicubic(hr, side // hr.shape[-1])
    blocks = F.avg_pool2d(sr, side // 8).flatten(1)  # row by row of red, green, blue
    columns = {
        "psnr": psnr(sr.clamp(0, 1), hr),
        "mean": sr.mean((1, 2, 3)),
        "std": sr.std((1, 2, 3)),
        "blocks": blocks,
    }
    rounded = {key: np.round(column.double().numpy(), 5) for key, column in columns.items()}
    return {
        name: {key: column[number].tolist() for key, column in rounded.items()}
        for number, name in enumerate(faces.names)
    }


def golden_path(folder: Path, full_name: str) -> Path:
    """Where a folder of models has the golden figures of one of them."""
    return folder / GOLDEN / f"{full_name}.json"


def read_golden(path: Path) -> dict[str, dict[str, Any]]:
    """A table that `write_golden` wrote: row -> figure -> value."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_golden(path: Path, measured: Figures) -> None:
    """Write a table with a line for each row."""
    lines = [f"{json.dumps(row)}: {json.dumps(values)}" for row, values in measured.items()]
    write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def differences(
    measured: Figures, stored: Figures, within: Mapping[str, float] = WITHIN
) -> Iterator[str]:
    """A sentence on each figure that is not what was stored.

    Args:
        measured: all rows of `stored`, or some of them.
        stored: what was measured once.
        within: figure -> largest difference that is still the same.
    """
    for row, values in measured.items():
        for figure, value in values.items():
            before = stored.get(row, {}).get(figure)
            if before is None or np.shape(before) != np.shape(value):
                yield f"{figure} of {row}: nothing of its kind is stored"
                continue
            off = np.abs(np.subtract(value, before)).max()
            if not off <= within[figure]:
                yield f"{figure} of {row}: off by {off:.2g}, accepted {within[figure]:g}"
