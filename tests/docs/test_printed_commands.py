"""What README and the pages print is run as it is printed, in a folder with its names."""

import os
import shutil
from collections.abc import Collection
from pathlib import Path

import av
import numpy as np
import pytest
from helpers.printed_commands import ROOT, blocks, run_block
from PIL import Image

from faceskd.models.scene import SceneNet
from faceskd.models.weights import save_network
from faceskd.portraits import render_portrait, write_portraits
from faceskd.pretrained import model_path

ELSEWHERE = {
    "faceskd train -m ": "tests/engine/test_train_command.py runs the sweep",
    "torchrun ": "tests/engine/test_train_command.py trains in two processes",
    "until ": "tests/engine/test_resuming.py runs out of time and goes on",
}
"""Blocks of docs/train.md that other tests run, for each takes long."""
FULL_SIZE = "teacher_literal"
"""A block of docs/speed.md that measures networks of full size for minutes."""

RUN = ("README.md", "docs/restore.md")
"""What these print is run here; docs/index.md repeats some of it."""

long_page = pytest.mark.skipif(
    "FACESKD_LONG_PAGES" not in os.environ,
    reason="minutes of training and profiling: set FACESKD_LONG_PAGES=1",
)


@pytest.fixture
def folder(tmp_path: Path, quarter_weights: None) -> Path:
    """A folder with small photos that have the names of the pages, and an encoder."""
    (tmp_path / "PHOTOS").mkdir()
    for number in range(2):
        photo = Image.fromarray(render_portrait(number, size=256).image).resize((128, 128))
        photo.save(tmp_path / "PHOTOS" / f"{number}.png")
    photo.save(tmp_path / "PHOTO", "PNG")
    return tmp_path


def run_page(name: str, folder: Path, *, without: Collection[str] = ()) -> None:
    for block in blocks(ROOT / name):
        if not any(words in block.text for words in without):
            run_block(block, folder)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        *(
            pytest.param(page, marks=pytest.mark.slow)
            for page in ("docs/models.md", "docs/product.md", "docs/reproduce.md")
        ),
    ],
)
def test_the_first_pages(page: str, folder: Path) -> None:
    run_page(page, folder)


def test_the_start_page_prints_nothing_else() -> None:
    elsewhere = [block.text for page in RUN for block in blocks(ROOT / page)]
    assert all(block.text in elsewhere for block in blocks(ROOT / "docs/index.md"))


def write_drawing_network(path: Path) -> None:
    """A tiny network for drawings with random weights."""
    config = {"width": 8, "blocks": 1, "narrow": 4}
    target = {"_target_": "faceskd.models.scene.SceneNet", **config}
    save_network(path, SceneNet(**config), target)


def write_mask(folder: Path) -> None:
    """MASKS/PHOTO.png, which marks a scratch."""
    mask = Image.new("L", Image.open(folder / "PHOTO").size)
    mask.paste(255, (8, 0, 10, mask.height))
    (folder / "MASKS").mkdir()
    mask.save(folder / "MASKS" / "PHOTO.png")


def write_clip(path: Path, picture: Image.Image) -> None:
    """Two frames of a picture."""
    with av.open(str(path), "w") as made:
        video = made.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = *picture.size, "yuv420p"
        for _ in range(2):
            made.mux(video.encode(av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")))
        made.mux(video.encode(None))


@pytest.mark.slow
def test_restoring(folder: Path) -> None:
    (folder / "STUDENT.safetensors").symlink_to(model_path("lite-s"))
    write_drawing_network(folder / "NETWORK.safetensors")
    write_clip(folder / "VIDEO.mp4", Image.open(folder / "PHOTO"))
    (folder / "FACES").mkdir()
    Image.open(folder / "PHOTO").resize((32, 32)).save(folder / "FACES" / "face.png")
    write_mask(folder)
    run_page("docs/restore.md", folder)


@pytest.mark.slow
def test_releasing(folder: Path) -> None:
    """The plans are read to their jobs; the commands about data and models have their own tests."""
    for name in ("BAD", "SCENES"):
        (folder / name).mkdir()
    others = ["data layout", "data verify", "release verify", "side_by_side", "OUT/seeds"]
    run_page("docs/release.md", folder, without=others)


@pytest.mark.slow
def test_landscapes(folder: Path) -> None:
    run_page("docs/landscapes.md", folder)


@pytest.mark.slow
@long_page
def test_training(folder: Path) -> None:
    shutil.rmtree(folder / "PHOTOS")
    write_portraits(folder / "PHOTOS", count=14, processes=1)
    (folder / "TEACHER.safetensors").symlink_to("runs/teacher/weights.safetensors")
    (folder / "STUDENT.safetensors").symlink_to("runs/student_lite/weights.safetensors")
    (folder / "NETWORK.safetensors").symlink_to("runs/photo/weights.safetensors")
    run_page("docs/train.md", folder, without=ELSEWHERE)


@pytest.mark.slow
@long_page
def test_old_photos(folder: Path) -> None:
    for name in ("CLEAN", "CHECK", "OLD"):
        (folder / name).mkdir()
        Image.fromarray(render_portrait(0, size=256).image).save(folder / name / "0.png")
    write_mask(folder)
    run_page("docs/old_photos.md", folder)


@pytest.mark.slow
@long_page
def test_speed(folder: Path, prepared_faces: Path, materials: Path) -> None:
    (folder / "FACES").symlink_to(prepared_faces)
    (folder / "TEACHER.safetensors").symlink_to(materials / "teacher.safetensors")
    (folder / "faceskd").symlink_to(ROOT / "faceskd")
    run_page("docs/speed.md", folder, without=[FULL_SIZE])
