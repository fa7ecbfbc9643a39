"""Feature transfer step by step, within its boxes, in any batch, order and precision."""

import numpy as np
import pytest
import torch
from helpers.literal_transfer import changed, literal_scores, ramp
from torch import Tensor, nn

from faceskd.common.errors import ConfigError
from faceskd.faces.components import COMPONENTS
from faceskd.models.dictionary import atom_size
from faceskd.models.transfer import FeatureTransfer, adain, cut_out, put_back

TYPICAL = [[10.0, 14, 24, 28], [38.0, 14, 52, 28], [26.0, 26, 38, 38], [18.0, 36, 46, 60]]
"""Component boxes of a face of 64 px."""


def stored_atoms(seed: int = 0) -> dict[str, Tensor]:
    """Some channels hardly vary, as those of a trained encoder."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(-4, 0, 6)[:, None, None]
    return {
        name: (torch.randn(5, 6, 3, 3, generator=generator) * scale + 1).half()
        for name in COMPONENTS
    }


def transfer_of(selection: str = "product", *, seed: int = 0) -> FeatureTransfer:
    torch.manual_seed(seed)
    transfer = FeatureTransfer(channels=6, stride=4, selection=selection).eval()
    transfer.load_atoms(stored_atoms(seed))
    return transfer


@pytest.mark.parametrize("seed", range(5))
def test_module_is_the_same_by_either_selection(seed: int) -> None:
    features, boxes = torch.randn(2, 6, 16, 16), torch.tensor([TYPICAL, TYPICAL]) + 1.3
    product, literal = transfer_of(seed=seed), transfer_of(selection="literal", seed=seed)
    with torch.no_grad():
        torch.testing.assert_close(product(features, boxes), literal(features, boxes))


@pytest.mark.parametrize("selection", ["product", "literal"])
@pytest.mark.parametrize("guided", [False, True])
def test_module_literal(guided: bool, selection: str) -> None:
    """out = F + confidence(atom - F) * atom within each box, step by step.

    A guide chooses the atom; its statistics, and what it is blended into, are still those of F.
    """
    transfer = transfer_of(selection)
    features, boxes = torch.randn(1, 6, 16, 16), torch.tensor([TYPICAL])
    guide = torch.randn(1, 6, 16, 16) if guided else None
    expected, choices = features, []
    for index, name in enumerate(COMPONENTS):
        cut = cut_out(features, boxes[:, index] / 4, 3)
        query = cut if guide is None else cut_out(guide, boxes[:, index] / 4, 3)
        atoms = stored_atoms()[name]
        best = literal_scores(query, atoms).argmax(1)
        choices.append(best != literal_scores(cut, atoms).argmax(1))
        atom = adain(atoms[best], cut)
        mixed = cut + transfer.confidence[name](atom - cut) * atom
        expected = put_back(expected, mixed, boxes[:, index] / 4)
    assert np.any(choices) == guided  # the guide does choose others
    with torch.no_grad():
        out = transfer(features, boxes, guide)
    torch.testing.assert_close(out, expected, rtol=1e-3, atol=1e-4)


def test_module_leaves_what_lies_outside_all_boxes() -> None:
    features, boxes = torch.randn(1, 6, 16, 16), torch.tensor([TYPICAL])
    with torch.no_grad():
        touched = changed(transfer_of()(features, boxes), features)[0]
    centres = ramp(16, 16)[0].movedim(0, -1) * 4
    covered = torch.zeros(16, 16, dtype=torch.bool)
    for box in boxes[0]:
        covered |= ((centres >= box[:2]) & (centres <= box[2:])).all(-1)
    assert torch.equal(touched, covered)


def test_module_in_any_batch_and_order() -> None:
    transfer = transfer_of()
    features = torch.randn(3, 6, 16, 16)
    shifts = torch.tensor([0.0, 3.7, -40.0])[:, None, None]  # the last leaves the picture
    boxes = torch.tensor([TYPICAL]) + shifts
    with torch.no_grad():
        together = transfer(features, boxes)
        for i in range(3):
            alone = transfer(features[i : i + 1], boxes[i : i + 1])
            torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)
        order = [2, 0, 1]
        shuffled = transfer(features[order], boxes[order])
        torch.testing.assert_close(shuffled, together[order], rtol=1e-4, atol=1e-5)
    assert together.isfinite().all()


def test_module_under_autocast_is_close_and_keeps_the_dtype_of_the_map() -> None:
    transfer, features = transfer_of(), torch.randn(1, 6, 16, 16)
    boxes = torch.tensor([TYPICAL])
    with torch.no_grad():
        expected = transfer(features, boxes)
        with torch.autocast("cpu", torch.bfloat16):
            out = transfer(features, boxes)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected, rtol=0.05, atol=0.05)
    with torch.no_grad():
        narrow = transfer.bfloat16()(features.bfloat16(), boxes)
    assert narrow.dtype == torch.bfloat16
    assert narrow.isfinite().all()


def test_atoms_are_chosen_in_float32_under_autocast() -> None:
    """A product in bfloat16 would take other atoms for 7 of these 512 components."""
    torch.manual_seed(0)
    atoms = {name: torch.randn(512, 2, 3, 3) for name in COMPONENTS}
    features, boxes = torch.randn(512, 2, 16, 16), torch.tensor([TYPICAL]).expand(512, 4, 4)
    product, literal = (
        FeatureTransfer(channels=2, stride=4, selection=selection)
        for selection in ("product", "literal")
    )
    for transfer in (product, literal):
        transfer.load_atoms(atoms)
        for name in COMPONENTS:  # all is exact without the convolutions
            transfer.confidence[name] = nn.Identity()
            transfer.confidence[name].register_parameter("unused", nn.Parameter(torch.ones(1)))
    expected = literal(features, boxes)
    torch.testing.assert_close(product(features, boxes), expected)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(product(features, boxes), expected)


def test_boxes_of_any_dtype() -> None:
    transfer, features = transfer_of(), torch.randn(1, 6, 16, 16)
    boxes = torch.tensor([TYPICAL])
    with torch.no_grad():
        expected = transfer(features, boxes)
        for dtype in (torch.float64, torch.int64):
            torch.testing.assert_close(transfer(features, boxes.to(dtype)), expected)


def test_the_product_is_the_rule_and_confidence_has_spectral_norm() -> None:
    transfer = FeatureTransfer(channels=2, stride=2)
    assert transfer.selection == "product"
    weights = [key for key in transfer.state_dict() if "weight" in key]
    assert {key.split(".")[1] for key in weights} == set(COMPONENTS)
    assert sum("parametrizations.weight.original" in key for key in weights) == 2 * len(COMPONENTS)


def test_atoms_are_no_part_of_the_state() -> None:
    assert not [key for key in transfer_of().state_dict() if "atoms" in key]


def test_own_features_in_the_place_of_atoms() -> None:
    """out = F + confidence(F) * F within each box; the trained layers are the same."""
    torch.manual_seed(0)
    transfer = FeatureTransfer(channels=6, stride=4, selection="own", face_size=64).eval()
    assert transfer.state_dict().keys() == transfer_of().state_dict().keys()
    features, boxes = torch.randn(1, 6, 16, 16), torch.tensor([TYPICAL])
    expected = features
    for index, name in enumerate(COMPONENTS):
        cut = cut_out(features, boxes[:, index] / 4, atom_size(name, 4, 64))
        mixed = cut + transfer.confidence[name](cut) * cut
        expected = put_back(expected, mixed, boxes[:, index] / 4)
    torch.testing.assert_close(transfer(features, boxes), expected)


def test_unknown_selection() -> None:
    with pytest.raises(ConfigError, match="'guess'"):
        FeatureTransfer(channels=2, stride=2, selection="guess")
