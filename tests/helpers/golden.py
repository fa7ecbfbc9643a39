"""Figures that were stored once, and the eight faces that the shipped networks are held to.

`pytest tests/pretrained --update-golden` stores them anew; look at the difference before it is
committed, since a change means that a shipped model makes other faces than it did.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
import torch.nn.functional as F

from faceskd.common.images import read_image, to_tensor
from faceskd.data.degradation import Eq8
from faceskd.faces.align import similarity_crop, transform_points
from faceskd.faces.components import boxes_from_landmarks, five_points
from faceskd.metrics.fidelity import psnr
from faceskd.models.base import SuperResolver
from faceskd.portraits import render_portrait

FOLDER = Path(__file__).parents[1] / "assets" / "golden"
PHOTOGRAPHS = "photographs"
LR_FACES = FOLDER / "lr_faces.png"
DRAWN = ((100, 0), (101, 1), (112, 0), (113, 1), (118, 0), (121, 1), (136, 0))
"""Identity and photo of portraits: fair and dark skin, beards, glasses, a turned head."""
ASTRONAUT = ((204.3, 103.1), (246.9, 104.5), (225.7, 130.2), (202.0, 140.9), (245.5, 141.9))
"""The five points of scikit-image's photograph, by MTCNN; stored, for detection is not measured."""


@dataclass(frozen=True)
class Golden:
    """Compares what was measured with the stored figures, or stores them."""

    update: bool = False

    @staticmethod
    def stored(name: str) -> dict[str, dict[str, Any]]:
        """The rows of a table, each with its figures."""
        return json.loads((FOLDER / f"{name}.json").read_text())

    def check(
        self, name: str, measured: Mapping[str, Mapping[str, Any]], within: Mapping[str, float]
    ) -> None:
        """Compare a table, or some rows and figures of it.

        Args:
            name: of the file in tests/assets/golden.
            measured: row -> figure -> value.
            within: figure -> largest difference that is still the same.
        """
        if self.update:
            lines = [f"{json.dumps(row)}: {json.dumps(values)}" for row, values in measured.items()]
            (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
        stored = self.stored(name)
        for row, values in measured.items():
            for figure, value in values.items():
                np.testing.assert_allclose(
                    value, stored[row][figure], rtol=0, atol=within[figure],
                    err_msg=f"{figure} of {row} by {name}",
                )  # fmt: skip


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


def degraded_faces() -> np.ndarray:
    """The eight faces through eq. 8, each with its number as seed; side by side, (32, 256, 3)."""
    faces = golden_faces().hr
    return np.hstack([Eq8()(hr, np.random.default_rng(seed)) for seed, hr in enumerate(faces)])


def stored_lr_faces() -> torch.Tensor:
    """The LR faces as they were stored, (8, 3, 32, 32): networks do not suffer from eq. 8."""
    strip = read_image(LR_FACES)
    return torch.stack([to_tensor(lr) for lr in np.split(strip, strip.shape[1] // 32, axis=1)])


def figures_of(network: SuperResolver) -> dict[str, dict[str, Any]]:
    """PSNR in dB, mean, standard deviation, and means of blocks of 32 px, of each SR face."""
    faces = golden_faces()
    with torch.inference_mode():
        sr = network.eval()(stored_lr_faces(), faces.boxes)
    hr = torch.stack([to_tensor(face) for face in faces.hr])
    blocks = F.avg_pool2d(sr, 32).flatten(1)  # row by row of red, green, blue
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
