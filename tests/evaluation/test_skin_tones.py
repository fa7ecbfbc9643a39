"""An evaluation by thirds of skin tone: who is in which, what is said, what is written."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.aligned_faces import LANDMARKS, draw
from hypothesis import given
from hypothesis import strategies as st

from faceskd.commands.evaluate import evaluate_files
from faceskd.common.errors import ConfigError
from faceskd.common.images import to_tensor
from faceskd.data.degradation import Clean
from faceskd.evaluation.evaluate import evaluate, show_faces
from faceskd.evaluation.report import write_report
from faceskd.evaluation.skin_tones import THIRDS, compare_skin_tones, group_by_skin_tone
from faceskd.metrics import COLOUR_NAMES, MetricSuite

TONES = [(40, 10, 14), (72, 12, 14), (35, 9, 13), (58, 12, 17), (70, 11, 13), (55, 12, 18)]
BLUER = "ours shifts b* of the iris by -5.2 (darkest third)"  # 5, as 8 bits can show it


@pytest.fixture(scope="module")
def faces():
    """Six faces; the LR face is there for its colour, by which `Shifting` knows it."""
    return [
        {
            "lr": to_tensor(np.full((32, 32, 3), 10 * number, np.uint8)),
            "hr": to_tensor(draw(skin=tone)),
            "boxes": torch.tensor([[60.0, 90, 100, 130]] * 4),
            "landmarks": LANDMARKS[0],
            "name": f"face{number}",
        }
        for number, tone in enumerate(TONES)
    ]


def shifting(faces, skin):
    """A method that gives the HR face back, but with irises bluer by 5 in faces that are dark."""

    def method(lr, boxes):
        numbers = (lr[:, 0, 0, 0] * 25.5).round().int().tolist()
        return torch.stack([
            to_tensor(draw(skin=TONES[n], iris=(30, 8, 9))) if TONES[n][0] < skin
            else faces[n]["hr"]
            for n in numbers
        ])  # fmt: skip

    return method


@pytest.fixture(scope="module")
def compared(faces):
    methods = {"ours": shifting(faces, skin=45)}
    evaluation = evaluate(methods, faces, MetricSuite(["psnr", *COLOUR_NAMES]), progress=False)
    return evaluation, compare_skin_tones(evaluation, methods, faces)


def test_thirds_go_from_dark_to_light(compared):
    _, tones = compared
    assert [group.name for group in tones.groups] == list(THIRDS)
    assert [set(group.faces) for group in tones.groups] == [{0, 2}, {3, 5}, {1, 4}]
    assert all(low <= high for low, high in (group.angles for group in tones.groups))


@given(st.lists(st.floats(-90, 90), min_size=3, max_size=40))
def test_every_face_is_in_one_group_of_even_size(angles):
    groups = group_by_skin_tone(angles)
    assert sorted(index for group in groups for index in group.faces) == list(range(len(angles)))
    sizes = [len(group.faces) for group in groups]
    assert max(sizes) - min(sizes) <= 1
    for darker, lighter in pairwise(groups):
        assert darker.angles[1] <= lighter.angles[0]
    for group in groups:
        assert group.examples
        assert set(group.examples) <= set(group.faces)
        assert group.angles == (angles[group.faces[0]], angles[group.faces[-1]])


def test_figures_are_those_of_the_group(compared):
    evaluation, tones = compared
    values = evaluation.scores["ours"].per_image
    for group in tones.groups:
        for name in ("psnr", "iris_b", "skin_L"):
            figure = tones.figures[group.name]["ours"][name]
            chosen = [values[name][index] for index in group.faces]
            assert figure.mean == pytest.approx(np.mean(chosen))
            assert min(chosen) <= figure.interval[0] <= figure.interval[1] <= max(chosen)
    assert "ita" not in tones.figures[THIRDS[0]]["ours"]


def test_blue_irises_of_one_third_are_said(compared):
    said = [sentence for sentence in compared[1].said if sentence.startswith("ours")]
    assert BLUER in said
    assert any(sentence.startswith("ours is worse for the darkest third") for sentence in said)
    assert len(said) == 2


def test_a_fair_method_has_nothing_to_say(faces):
    methods = {"ours": shifting(faces, skin=0)}
    evaluation = evaluate(methods, faces, MetricSuite(["psnr", *COLOUR_NAMES]), progress=False)
    tones = compare_skin_tones(evaluation, methods, faces)
    assert not [sentence for sentence in tones.said if sentence.startswith("ours")]


def test_pictures_are_the_examples_of_each_group(compared, faces):
    evaluation, tones = compared
    chosen = [index for group in tones.groups for index in group.examples]
    assert list(tones.pictures) == ["lr", "bicubic", "ours", "hr"]
    for row, index in enumerate(chosen):
        assert torch.equal(tones.pictures["hr"][row], faces[index]["hr"])
        assert torch.equal(tones.pictures["lr"][row], faces[index]["lr"])
    labels = tones.labels(evaluation.faces)
    assert labels[0] == f"darkest third: face{chosen[0]}"
    assert len(labels) == len(chosen)


def test_shown_faces_are_what_was_evaluated(faces):
    methods = {"ours": shifting(faces, skin=45)}
    shown = show_faces(methods, faces, [2, 0])
    kept = evaluate(methods, faces, MetricSuite(["psnr"]), progress=False).pictures
    for name, images in shown.items():
        torch.testing.assert_close(images, kept[name][[2, 0]])


def test_fewer_than_three_faces_are_no_groups(faces):
    evaluation = evaluate({}, faces[:2], MetricSuite(COLOUR_NAMES), progress=False)
    assert compare_skin_tones(evaluation, {}, faces[:2]) is None


def test_groups_of_one_face_have_no_interval(faces):
    evaluation = evaluate({}, faces[:3], MetricSuite(["psnr", *COLOUR_NAMES]), progress=False)
    tones = compare_skin_tones(evaluation, {}, faces[:3])
    assert tones.figures[THIRDS[0]]["bicubic"]["psnr"].interval is None
    assert all("(" not in row["psnr"] for row in tones.rows())


def test_the_report_says_what_too_few_faces_cannot_tell(faces, tmp_path):
    for count, sentence in ((3, "too few faces to tell"), (6, "no significant difference")):
        evaluation = evaluate({}, faces[:count], MetricSuite(["ita"]), progress=False)
        tones = compare_skin_tones(evaluation, {}, faces[:count])
        text = write_report(evaluation, tmp_path, tones=tones).read_text()
        assert f"No visible shift of colour{';' if count == 3 else ', and'} {sentence}" in text


def test_without_skin_tones_there_are_no_groups(faces):
    evaluation = evaluate({}, faces, MetricSuite(["psnr"]), progress=False)
    assert compare_skin_tones(evaluation, {}, faces) is None


def test_the_report_has_a_table_a_picture_and_figures(compared, tmp_path):
    evaluation, tones = compared
    text = write_report(evaluation, tmp_path, tones=tones).read_text()
    assert "## By skin tone" in text
    assert f"- {BLUER}." in text
    assert text.count("darkest third |") == 2
    assert (tmp_path / "skin_tones.png").is_file()
    record = json.loads((tmp_path / "metrics.json").read_text())["skin_tone"]
    assert list(record) == list(THIRDS)
    iris = record["darkest third"]["methods"]["ours"]["iris_b"]
    assert iris["mean"] == pytest.approx(-5, abs=0.4)
    assert iris["interval_95"][0] <= iris["mean"] <= iris["interval_95"][1]


class TestCommand:
    def options(self, prepared_faces, tmp_path, **other):
        return {
            "faces": str(prepared_faces), "split": "test", "out": str(tmp_path / "out"),
            "methods": {}, "degradation": Clean(), "metrics": ["psnr", "ita"], "show": 1,
        } | other  # fmt: skip

    def test_groups_on_demand(self, prepared_faces, tmp_path):
        evaluation = evaluate_files(**self.options(prepared_faces, tmp_path, groups="skin_tone"))
        assert evaluation.metrics == ["psnr", *COLOUR_NAMES]
        assert "## By skin tone" in (tmp_path / "out/report.md").read_text()

    def test_none_otherwise(self, prepared_faces, tmp_path):
        evaluate_files(**self.options(prepared_faces, tmp_path))
        assert "skin tone" not in (tmp_path / "out/report.md").read_text()

    def test_others_are_refused(self, prepared_faces, tmp_path):
        with pytest.raises(
            ConfigError, match="expected groups as one of skin_tone, null, got 'age'"
        ):
            evaluate_files(**self.options(prepared_faces, tmp_path, groups="age"))
        assert not (tmp_path / "out").exists()
