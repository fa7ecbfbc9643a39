"""What several test modules share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.fakes import onnx_file, restorer
from helpers.golden import Golden
from helpers.tiny_dictionary import build, built
from helpers.tiny_engines import batch
from helpers.tiny_faces import student
from helpers.tiny_training import materials, quarter_folder, quarter_weights, run, words, words_in
from hydra.core.hydra_config import HydraConfig
from hypothesis import settings
from omegaconf import OmegaConf

from faceskd.common.images import write_image
from faceskd.data.manifest import OK, Record, write_manifest
from faceskd.faces.align import similarity_crop, transform_points
from faceskd.faces.components import boxes_from_landmarks, five_points
from faceskd.portraits import render_portrait

__all__ = [
    "batch",
    "build",
    "built",
    "materials",
    "onnx_file",
    "quarter_folder",
    "quarter_weights",
    "restorer",
    "run",
    "student",
    "words",
    "words_in",
]

# A slow machine is no failure, and a failure repeats itself.
settings.register_profile("faceskd", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("faceskd")

SPLITS = {"train": 24, "val": 4, "test": 4}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="store golden figures anew (tests/assets)"
    )


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(update=request.config.getoption("--update-golden"))


@pytest.fixture
def given_words(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function: the name of a config, and the words of the command line that follow."""

    def give(config_name: str, *words: str) -> None:
        given = {"job": {"config_name": config_name}, "overrides": {"task": list(words)}}
        monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
        monkeypatch.setattr(HydraConfig, "get", lambda: OmegaConf.create(given))

    return give


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    """Tests run side by side, and sums in one order repeat bit for bit.

    Some commands set the number of threads of the process, so every file of tests sets it again.
    """
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # what tests start


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Of each test, whatever ran before it. The seed is none of those that tests set themselves."""
    torch.manual_seed(2021)


@pytest.fixture(scope="session")
def prepared_faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `faceskd prepare` writes it: 24, 4 and 4 synthetic faces of as many people."""
    folder = tmp_path_factory.mktemp("prepared")
    records = []
    for number, split in enumerate(name for name, count in SPLITS.items() for _ in range(count)):
        portrait = render_portrait(number, size=256)
        image, matrix = similarity_crop(portrait.image, portrait.landmarks + 0.5)
        points = transform_points(portrait.landmarks + 0.5, matrix)
        face = f"{split}/{portrait.identity}.png"
        write_image(folder / face, image)
        records.append(
            Record(
                source=f"{portrait.identity}.jpg",
                status=OK,
                split=split,
                identity=portrait.identity,
                face=face,
                landmarks=five_points(points).tolist(),
                boxes=boxes_from_landmarks(points).tolist(),
            )
        )
    write_manifest(folder, records)
    return folder
