"""Every shipped file of weights makes the faces that it made when its figures were stored."""

import cv2
import numpy as np
import pytest
import torch
from helpers.golden import FOLDER, PHOTOGRAPHS, Golden, degraded_faces

from faceskd import pretrained
from faceskd.common.images import read_image, to_tensor, to_uint8, write_image
from faceskd.faces.components import COMPONENTS
from faceskd.models import transfer
from faceskd.models.blocks import bicubic
from faceskd.models.dictionary import Dictionary
from faceskd.models.transfer import select, select_literal
from faceskd.pretrained import available_models, load_pretrained, model_path
from faceskd.pretrained.golden import (
    LR_FACES,
    WITHIN,
    golden_faces,
    golden_figures,
    stored_lr_faces,
)
from faceskd.restore.restorer import Restorer

NETWORKS = [model.full_name for model in available_models() if model.role != "dictionary"]
STUDENTS = [model.full_name for model in available_models() if model.role == "student"]
DICTIONARIES = [model.full_name for model in available_models() if model.role == "dictionary"]


def test_eq_8_degrades_the_faces_as_it_did(golden: Golden) -> None:
    if golden.update:
        write_image(LR_FACES, degraded_faces())
    difference = np.abs(degraded_faces().astype(int) - read_image(LR_FACES))
    assert difference.max() <= 2  # a rounding that goes the other way is at most that, after JPEG
    assert difference.mean() < 0.02


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_restores_the_faces_as_it_did(golden: Golden, name: str) -> None:
    golden.check(name, golden_figures(load_pretrained(name)), WITHIN)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", STUDENTS)
def test_a_restorer_is_as_good_as_its_network(golden: Golden, name: str, precision: str) -> None:
    restorer = Restorer.from_pretrained(name, precision=precision)
    stored, faces = golden.stored(name), golden_faces()
    some = zip(faces.names[:2], stored_lr_faces()[:2], faces.hr[:2], strict=True)
    for face, lr, hr in some:
        if restorer.frame is None:
            sr = restorer.aligned(to_uint8(lr))
        else:
            sr = restorer.aligned(to_uint8(bicubic(lr[None], restorer.frame // 32))[0])
            hr = to_uint8(bicubic(to_tensor(hr)[None], restorer.frame // hr.shape[0]))[0]
        within = 0.02 if restorer.frame is None else 0.12  # bicubic overshoots are clipped
        assert cv2.PSNR(sr, hr) == pytest.approx(stored[face]["psnr"], abs=within)


@pytest.mark.parametrize("name", DICTIONARIES)
def test_a_dictionary_is_read_and_looked_up_as_it_was(
    golden: Golden, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices: list[torch.Tensor] = []

    def recorded(component: torch.Tensor, whitened: torch.Tensor) -> torch.Tensor:
        choices.append(select(component, whitened))
        rows = whitened.view(-1, *component.shape[1:])
        assert torch.equal(choices[-1], select_literal(component, rows)), "DFDNet's own choice"
        return choices[-1]

    monkeypatch.setattr(transfer, "select", recorded)
    teacher = next(model.full_name for model in available_models() if model.dictionary == name)
    network = load_pretrained(teacher)
    network.mirror_share = 0.0  # one pass, so one choice for each face, component and scale
    with torch.inference_mode():
        network(stored_lr_faces(), golden_faces().boxes)
    atoms = Dictionary.load(model_path(name)).atoms
    keys = [f"{tap}/{component}" for tap in network.encoder.taps for component in COMPONENTS]
    measured = {
        key: {
            "shape": list(atoms[key].shape),
            "mean": round(atoms[key].double().mean().item(), 6),
            "std": round(atoms[key].double().std().item(), 6),
            "chosen": chosen.tolist(),
        }
        for key, chosen in zip(keys, choices, strict=True)
    }
    golden.check(name, measured, {"shape": 0, "mean": 2e-6, "std": 2e-6, "chosen": 0})


def test_golden_figures_notice_a_change_of_a_hundredth(golden: Golden) -> None:
    """The tolerance is no hole: weights of another rounding are found out."""
    network = load_pretrained("lite-s@1")
    with torch.no_grad():
        next(network.parameters()).mul_(1.01)
    with pytest.raises(AssertionError, match="of astronaut: off by"):
        Golden().check("lite-s@1", golden_figures(network), WITHIN)


def test_no_figures_are_left_of_files_that_are_gone() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {*DICTIONARIES, PHOTOGRAPHS}
    assert {path.stem for path in (pretrained.FOLDER / "golden").glob("*.json")} == set(NETWORKS)
