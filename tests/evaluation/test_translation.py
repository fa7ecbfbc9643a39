"""Translations against the truth: names, sizes and figures."""

import numpy as np
import pytest
import torch

from faceskd.commands import run_command
from faceskd.common.errors import ConfigError, ImageError, WeightsError
from faceskd.common.images import read_image, write_image
from faceskd.evaluation.translation import evaluate_translation, unsharp_mask
from faceskd.models.baselines.rdn import RDN
from faceskd.models.baselines.srresnet import SRResNet
from faceskd.models.cyclegan import TRANSLATION, CycleGenerator
from faceskd.models.scene import SceneNet
from faceskd.models.weights import save_network

TARGET = "faceskd.models.baselines.rdn.RDN"
CONFIG = {"width": 4, "growth": 4, "blocks": 1, "layers": 1, "scale": 1}


def write_rdn(path, shift, **metadata):
    """An RDN that adds a constant to its input."""
    network = RDN(**CONFIG)
    torch.nn.init.zeros_(network.tail.weight)
    torch.nn.init.constant_(network.tail.bias, shift)
    save_network(path, network, {"_target_": TARGET, **CONFIG}, metadata)
    return path


def write_translation(path, shift, direction="a to b"):
    return write_rdn(path, shift, **{TRANSLATION: direction})


@pytest.fixture
def folders(tmp_path):
    """Pictures in "a", and in "b" the same ones 40 levels brighter."""
    rng = np.random.default_rng(0)
    for number in range(3):
        picture = rng.integers(0, 128, (32, 40, 3), np.uint8)
        write_image(tmp_path / "a" / f"{number}.png", picture)
        write_image(tmp_path / "b" / f"{number}.png", picture + 40)
    return tmp_path


def test_each_method_is_compared_with_the_truth(folders):
    weights = write_translation(folders / "half.safetensors", 20 / 255, "b to a")
    refine = write_rdn(folders / "refine.safetensors", 20 / 255)
    words = [f"weights={weights}", f"refine={refine}", f"out={folders}/out", "amount=0"]
    words += [f"{name}={folders}/{name}" for name in "ab"]
    assert run_command("evaluate translation", words) == 0
    rows = evaluate_translation(
        weights=weights, refine=refine, a=folders / "a", b=folders / "b", out=folders / "out",
        amount=0, show=2,
    )  # fmt: skip
    figures = {row["method"]: row["psnr"] for row in rows}
    assert list(figures) == [
        *("untouched", "translated", "translated, sharpened", "translated, refined")
    ]
    assert figures["untouched"] == pytest.approx(20 * np.log10(255 / 40), abs=1e-3)
    assert figures["translated"] == pytest.approx(20 * np.log10(255 / 20), abs=1e-3)
    assert figures["translated, sharpened"] == figures["translated"]
    assert figures["translated, refined"] > 80
    report = (folders / "out" / "translation.md").read_text()
    assert report.startswith("3 pictures; direction of the network in its training: b to a\n")
    assert "| translated | 22.11 |" in report
    assert read_image(folders / "out" / "translation.png").shape[1] >= 5 * 40


def test_pictures_of_two_sizes_show_those_like_the_first(folders):
    weights = write_translation(folders / "half.safetensors", 0.1)
    for name in "ab":
        write_image(folders / name / "1.png", np.zeros((48, 40, 3), np.uint8))
    given = {"weights": weights, "a": folders / "a", "b": folders / "b", "out": folders / "out"}
    evaluate_translation(**given, show=1)
    one = read_image(folders / "out" / "translation.png").shape
    evaluate_translation(**given)
    two = read_image(folders / "out" / "translation.png").shape
    assert two[0] > one[0] and two[0] - one[0] < 2 * 32
    evaluate_translation(**given, show=0)
    assert not (folders / "out" / "translation.png").exists()


@pytest.mark.parametrize(
    "wrong", [{"radius": 0}, {"radius": 6}, {"amount": "much"}, {"show": None}]
)
def test_settings_that_cannot_be(folders, wrong):
    (name,) = wrong
    given = {"weights": "none", "a": folders / "a", "b": folders / "b", "out": folders / "out"}
    with pytest.raises(ConfigError, match=f"expected {name} as"):
        evaluate_translation(**given, **wrong)


def test_without_a_refining_network_there_is_no_row_for_it(folders):
    weights = write_translation(folders / "half.safetensors", 0.1)
    rows = evaluate_translation(weights=weights, a=folders / "a", b=folders / "b", out=folders)
    assert len(rows) == 3


def test_sharpening_raises_edges_and_leaves_flat_areas():
    step = torch.full((1, 3, 9, 20), 0.3)
    step[..., 10:] = 0.6
    sharp = unsharp_mask(step, amount=0.5, radius=1.0)
    torch.testing.assert_close(sharp[..., :5], step[..., :5])
    assert sharp[0, 0, 4, 9] < 0.3 - 0.02 and sharp[0, 0, 4, 10] > 0.6 + 0.02
    assert torch.equal(unsharp_mask(step, amount=0), step)


def test_what_cannot_be_compared_is_refused(folders):
    weights = write_translation(folders / "half.safetensors", 0.1)
    given = {"weights": weights, "a": folders / "a", "b": folders / "b", "out": folders / "out"}
    config = {"width": 4, "blocks": 1}
    other = {"_target_": "faceskd.models.baselines.srresnet.SRResNet", **config}
    save_network(folders / "large.safetensors", SRResNet(**config), other)
    for key in ("weights", "refine"):
        with pytest.raises(ConfigError, match=r"of scale 1, .* got a SRResNet of scale 8"):
            evaluate_translation(**given | {key: folders / "large.safetensors"})
    write_image(folders / "b" / "2.png", np.zeros((32, 41, 3), np.uint8))
    with pytest.raises(ImageError, match=r"2\.png of one size .* \(32, 40\) and \(32, 41\)"):
        evaluate_translation(**given)
    (folders / "b" / "2.png").unlink()
    with pytest.raises(ConfigError, match=r"1 names that only one has \(for example 2\.png\)"):
        evaluate_translation(**given)


def test_networks_for_something_else_are_refused(folders):
    given = {"a": folders / "a", "b": folders / "b", "out": folders / "out"}
    translation = write_translation(folders / "translation.safetensors", 0.1)
    scene = folders / "scene.safetensors"
    config = {"width": 8, "blocks": 1, "narrow": 8}
    target = {"_target_": "faceskd.models.scene.SceneNet"}
    save_network(scene, SceneNet(**config), target | config)
    for wrong in (scene, write_rdn(folders / "plain.safetensors", 0.1)):
        with pytest.raises(WeightsError, match=f"for translations in '{wrong}', got one for"):
            evaluate_translation(weights=wrong, **given)
    with pytest.raises(WeightsError, match=r"for pictures in .*, got one for translations"):
        evaluate_translation(weights=translation, refine=translation, **given)
    evaluate_translation(weights=translation, refine=scene, **given)


def test_a_direction_that_is_not_recorded_is_said(folders):
    config = {"width": 4, "blocks": 1}
    target = {"_target_": "faceskd.models.cyclegan.CycleGenerator"}
    save_network(folders / "plain.safetensors", CycleGenerator(**config), target | config)
    evaluate_translation(
        weights=folders / "plain.safetensors", a=folders / "a", b=folders / "b", out=folders
    )
    assert "in its training: not recorded\n" in (folders / "translation.md").read_text()


def test_rdn_has_scale_1_or_8():
    with pytest.raises(ConfigError, match="expected a scale of 1 or 8, got 2"):
        RDN(scale=2)
