"""The whole method for photos, tiny: faces of 64 px in the place of 512, networks of scale 1."""

import json

import cv2
import numpy as np
import pytest
import torch
from helpers.tiny_training import QUICK

from faceskd.commands.evaluate import evaluate_files
from faceskd.common.config import compose
from faceskd.common.errors import DictionaryError, FacesError
from faceskd.common.images import read_image, write_image
from faceskd.data.manifest import MANIFEST, Record, read_manifest, write_manifest
from faceskd.data.photo_degradation import PhotoDegradation
from faceskd.data.pools import KERNEL_SIDE, PATCH_SIDE, Pools
from faceskd.dictionary.build import BuildSettings, build_dictionary
from faceskd.engine.training import train
from faceskd.models import VGG19
from faceskd.models.teacher import Teacher
from faceskd.models.weights import load_network

SIZE = 64
TAPS = ("relu2_2", "relu3_4", "relu4_4", "relu5_1")
SETTINGS = BuildSettings(
    atoms=2, initialisations=1, passes=1, iterations=2, batch_size=4, limit=6, size=SIZE
)


@pytest.fixture(scope="module")
def photo_faces(prepared_faces, tmp_path_factory):
    """The prepared faces at 64 px."""
    folder = tmp_path_factory.mktemp("photo_faces")
    records = []
    for split in ("train", "val", "test"):
        for record in read_manifest(prepared_faces, split):
            face = cv2.resize(read_image(prepared_faces / record.face), (SIZE, SIZE))
            write_image(folder / record.face, face)
            points, boxes = (
                (np.array(of) * SIZE / 256).tolist() for of in (record.landmarks, record.boxes)
            )
            records.append(Record(**{**vars(record), "landmarks": points, "boxes": boxes}))
    write_manifest(folder, records)
    assert (folder / MANIFEST).is_file()
    return folder


@pytest.fixture(scope="module")
def dictionary(photo_faces, tmp_path_factory):
    """An encoder of width 2, and its dictionary of faces of 64 px."""
    folder = tmp_path_factory.mktemp("photo_dictionary")
    torch.manual_seed(0)
    encoder = VGG19(width=2, weights="random", taps=TAPS)
    encoder.save(folder / "encoder.safetensors")
    build_dictionary(photo_faces, encoder, folder / "dictionary.safetensors", SETTINGS)
    return folder


def test_components_are_as_large_as_the_faces_say(dictionary, photo_faces, tmp_path):
    provenance = json.loads((dictionary / "dictionary.json").read_text())
    assert provenance["size"] == SIZE
    encoder = VGG19(width=2, weights=dictionary / "encoder.safetensors", taps=TAPS)
    teacher = Teacher(encoder=encoder, scale=1, size=SIZE)
    teacher.load_dictionary(dictionary / "dictionary.safetensors")
    with pytest.raises(DictionaryError, match="faces of another size"):
        Teacher(encoder=encoder, scale=1, size=256).load_dictionary(
            dictionary / "dictionary.safetensors"
        )
    with pytest.raises(FacesError, match="prepare them with size=128"):
        settings = BuildSettings(**{**vars(SETTINGS), "size": 128})
        build_dictionary(photo_faces, encoder, tmp_path / "d.safetensors", settings)


@pytest.mark.usefixtures("quarter_weights")
def test_teacher_and_student_train_and_are_evaluated(photo_faces, dictionary, tmp_path):
    def run(*overrides, out):
        return train(compose("train", [*QUICK, f"out={tmp_path / out}", *overrides]))

    common = (
        f"data.faces={photo_faces}",
        f"data.size={SIZE}",
        "engine.metrics=[psnr]",
    )
    small = (
        "model.encoder.width=2",
        f"model.encoder.weights={dictionary}/encoder.safetensors",
        f"model.dictionary={dictionary}/dictionary.safetensors",
        "model.decoder.widths=[8,8,8,8]",
        "model.decoder.blocks=1",
        f"model.size={SIZE}",
        "losses.terms.perceptual.loss.crop=48",
        "engine.discriminator.crop=48",
        "engine.adversarial_start=1",
    )
    teacher = run("experiment=photo_teacher", *small, *common, out="teacher")
    assert teacher.steps == 4
    assert load_network(teacher.weights).size == SIZE
    student = run(
        "experiment=photo_distilled",
        "model=photo_s",
        "model.widths=[8,8,8]",
        f"model.size={SIZE}",
        "model.blocks=1",
        f"engine.teacher={teacher.weights}",
        "engine.discriminator_width=2",
        *common,
        out="student",
    )
    assert student.steps == 4 and np.isfinite(student.metrics["val/psnr"])
    files = {"teacher": str(teacher.weights), "student": str(student.weights)}
    options = {"methods": files, "metrics": ["psnr"], "groups": None, "show": 1}
    evaluation = evaluate_files(
        faces=str(photo_faces), split="val", out=str(tmp_path / "out"),
        degradation=PhotoDegradation(), **options,
    )  # fmt: skip
    means = {row["method"]: row["psnr"] for row in evaluation.rows() if "psnr" in row}
    assert set(means) >= {"bicubic", "teacher", "student"}
    assert abs(means["student"] - means["bicubic"]) < 3  # four steps from the input itself


TINY_BACKGROUNDS = {
    "scene": ("model.width=8", "model.narrow=8", "engine.discriminator.crop=48"),
    "realsr": ("model.width=8", "model.growth=4"),
}


@pytest.mark.parametrize(("experiment", "scale"), [("scene", 1), ("realsr", 4)])
@pytest.mark.usefixtures("quarter_weights")
def test_networks_for_backgrounds_train_on_photographs_without_faces(experiment, scale, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(2):
        write_image(tmp_path / "in" / f"{number}.png", rng.integers(0, 256, (80, 90, 3), np.uint8))
    folder = f"{{path:{tmp_path}/in,share:1}}"
    words = [*QUICK, f"experiment={experiment}", *TINY_BACKGROUNDS[experiment], "model.blocks=1"]
    words += ["data.size=64", "losses.terms.perceptual.loss.crop=48", "engine.metrics=[psnr]"]
    words += [f"+data.folders.a={folder}", f"+data.val_folders.a={folder}"]
    words.append("engine.adversarial_start=1")
    if experiment == "realsr":
        noise = rng.normal(0, 2, (1, PATCH_SIDE, PATCH_SIDE, 3)).astype(np.float16)
        kernels = np.full((1, KERNEL_SIDE, KERNEL_SIDE), KERNEL_SIDE**-2, np.float32)
        Pools(kernels, noise, {}).save(tmp_path / "pools.safetensors")
        words.append(f"data.degradation.pools={tmp_path}/pools.safetensors")
    trained = train(compose("train", [*words, f"out={tmp_path / 'out'}"]))
    assert trained.steps == 4 and np.isfinite(trained.metrics["val/psnr"])
    assert load_network(trained.weights).scale == scale


def test_windows_and_degradation_compose_at_512():
    cfg = compose("train", ["experiment=photo_teacher", "name=test", "out=out"])
    assert cfg.data.size == cfg.model.size == 512 and cfg.model.scale == 1
    assert cfg.data.augment.window is None
