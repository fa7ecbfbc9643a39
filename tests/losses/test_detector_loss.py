"""The face detector's features: its own, of any size, and what their distance minds."""

import pytest
import torch
import torch.nn.functional as F
from facenet_pytorch.models.mtcnn import ONet, RNet

from faceskd.common.errors import ConfigError
from faceskd.losses import DetectorLoss
from faceskd.losses.detector import CONVOLUTIONS, OWN_SIDE


@pytest.fixture
def faces():
    return torch.rand(2, 3, 144, 160, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("network", "own"), [("refine", RNet), ("output", ONet)])
def test_features_are_the_detector_s_own(network, own, faces):
    """The last maps, through the dense layers, are what the package makes of the same faces."""
    side, detector = OWN_SIDE[network], own()
    found = DetectorLoss(network=network).features(faces, side)[-1]
    crops = F.interpolate(faces, (side, side), mode="bilinear", antialias=True)
    box, *_, score = detector((crops * 255 - 127.5) / 128)
    flat = found.permute(0, 3, 2, 1).flatten(1)
    if network == "refine":
        dense = detector.prelu4(detector.dense4(flat))
        torch.testing.assert_close(detector.dense5_2(dense), box)
        torch.testing.assert_close(detector.dense5_1(dense).softmax(1), score)
    else:
        dense = detector.prelu5(detector.dense5(flat))
        torch.testing.assert_close(detector.dense6_2(dense), box)
        torch.testing.assert_close(detector.dense6_1(dense).softmax(1), score)


@pytest.mark.parametrize("network", CONVOLUTIONS)
def test_the_loss_is_the_mean_unit_distance_of_its_maps(network, faces):
    loss = DetectorLoss(network=network)
    other = faces.flip(-1)
    distances = []
    for one, two in zip(loss.features(faces, 96), loss.features(other, 96), strict=True):
        one, two = (map / map.norm(dim=1, keepdim=True).clamp(min=1e-9) for map in (one, two))
        distances.append((one - two).square().sum(1).mean())
    torch.testing.assert_close(
        loss(faces, other), sum(distances) / len(distances), rtol=1e-3, atol=1e-5
    )
    assert loss(faces, faces) == 0


def test_maps_grow_with_the_side(faces):
    shapes = [tuple(map.shape[1:]) for map in DetectorLoss().features(faces, 96)]
    assert shapes == [(32, 94, 94), (64, 45, 45), (64, 20, 20), (128, 9, 9)]


def test_sides_are_drawn_between_two(faces, monkeypatch):
    loss, drawn = DetectorLoss(network="refine", side=(24, 27)), []
    monkeypatch.setattr(
        loss, "features", lambda images, side: drawn.append(side) or [images + side]
    )
    for _ in range(64):
        loss(faces, faces)
    assert drawn[::2] == drawn[1::2]  # one for both
    assert set(drawn) == {24, 25, 26, 27}


def test_only_the_sr_face_learns(faces):
    loss, sr = DetectorLoss(), faces.clone().requires_grad_()
    hr = faces.flip(-1).requires_grad_()
    loss(sr, hr).backward()
    assert sr.grad.abs().sum() > 0
    assert hr.grad is None
    assert all(not parameter.requires_grad for parameter in loss.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side": 47}, "at least 48 px for 'output'.*, got 47"),
        ({"side": (96, 72)}, r"smallest, largest.*, got \(96, 72\)"),
        ({"network": "proposal"}, "of refine, output, got 'proposal'"),
    ],
)
def test_what_it_cannot_do_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        DetectorLoss(**options)
