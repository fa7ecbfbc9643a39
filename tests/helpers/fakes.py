"""A network, a restorer with it, and a detector, of which it is known what they do."""

import numpy as np
import pytest
import torch
from torch import nn

from faceskd.export import export_network
from faceskd.export.onnx import Onnx
from faceskd.faces.align import template
from faceskd.faces.detection import Face
from faceskd.models.base import SuperResolver
from faceskd.restore.restorer import Restorer


class Nearest(SuperResolver):
    """Repeats pixels, so that what comes out tells what went in; follows the contract."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward_features(self, lr, boxes=None):
        return self.gain * lr.repeat_interleave(8, 2).repeat_interleave(8, 3), []


class Brighter(SuperResolver):
    """A network of scale 1, for frames of 256 px, that adds `gain` to every pixel."""

    scale, size = 1, 256

    def __init__(self, gain=0.0):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward_features(self, lr, boxes=None):
        return lr + self.gain, []


def write_nearest(folder):
    """`Nearest` as an exported file, whose loading needs no class."""
    path = folder / "nearest.onnx"
    export_network(Nearest(), path, backend=Onnx(), model_config={})
    return path


@pytest.fixture
def restorer():
    return Restorer(Nearest(), precision="fp32", batch_size=2)


@pytest.fixture(scope="session")
def onnx_file(tmp_path_factory):
    return write_nearest(tmp_path_factory.mktemp("weights"))


class Known:
    """A detector that finds faces where it is told: upright ones, by centre and side of frame.

    A fourth number moves the nose to the side, in sides of the frame: 0.2 makes a profile.
    """

    min_face = 24.0

    def __init__(self, *frames):
        self.frames = frames

    def fetch(self):
        pass

    def detect(self, image):
        return [face_at(*frame) for frame in self.frames]


def face_at(x, y, side, aside=0):
    """A face whose aligned frame is the upright square of `side` around (x, y)."""
    corner = np.array([x, y]) - side / 2
    points = (template(256) * side / 256 + corner).astype(np.float32)
    points[2, 0] += aside * side
    box = np.array([*corner, *(corner + side)], np.float32)
    return Face(box, points, 0.99)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
