"""What the results say: hypotheses, figures of the paper, enough faces, and the page."""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from faceskd.common.errors import ConfigError
from faceskd.common.files import held, write_text
from faceskd.common.images import write_image
from faceskd.evaluation.statistics import Paired
from faceskd.reproduce.baselines import least_faces, least_faces_section
from faceskd.reproduce.hypotheses import Hypothesis, conclusions
from faceskd.reproduce.page import END, START, WIDEST, write_page
from faceskd.reproduce.rates import choice

OURS = START.format("cpu"), END.format("cpu")
OTHER = f"{START.format('quick')}\nother\n{END.format('quick')}"


def hypothesis(metric, low, high, trainings=(3, 1), **more):
    paired = Paired(9, (low + high) / 2, low, high, 0.01, 0.0, trainings)
    return Hypothesis("methods", "student", "teacher", metric, paired, 0.02, **more)


@pytest.mark.parametrize(
    ("metric", "low", "high", "limit", "verdict"),
    [
        ("psnr", 0.1, 0.2, None, "confirmed"),
        ("psnr", -0.2, -0.1, None, "contradicted"),
        ("psnr", -0.1, 0.1, None, "undecided"),
        ("lpips_squeeze", -0.02, -0.01, None, "confirmed"),
        ("lpips_squeeze", 0.01, 0.02, None, "contradicted"),
        ("psnr", -0.09, -0.05, 0.1, "confirmed"),  # worse, but by less than the limit
        ("psnr", -0.2, -0.05, 0.1, "undecided"),
        ("psnr", -0.3, -0.2, 0.1, "contradicted"),
        ("lpips_squeeze", -0.01, 0.002, 0.003, "confirmed"),
        ("lpips_squeeze", 0.004, 0.006, 0.003, "contradicted"),
    ],
)
def test_the_whole_interval_decides(metric, low, high, limit, verdict):
    assert hypothesis(metric, low, high, limit=limit).verdict == verdict


def test_a_conclusion_is_a_sentence_with_its_figures():
    found = [hypothesis("psnr", 0.1, 0.3, paper=0.84), hypothesis("psnr", -1, 1, limit=0.1)]
    confirmed, undecided = conclusions(found)
    assert confirmed.startswith("**Confirmed, over faces only**, 1 of 2:")
    assert "student is better than teacher in psnr" in confirmed
    assert "student minus teacher is +0.2000 (higher is better), 95 % interval" in confirmed
    assert "95 % interval 0.1000 to 0.3000 over faces only; in the paper" in confirmed
    assert "in the paper 0.84; 3 and 1 trainings" in confirmed
    assert "student is as good as teacher" in undecided


@pytest.mark.parametrize(
    ("trainings", "spread"), [((3, 1), "faces only"), ((3, 2), "faces and trainings")]
)
def test_it_is_told_what_an_interval_is_over(trainings, spread):
    found = hypothesis("psnr", 0.1, 0.3, trainings)
    assert f"0.1000 to 0.3000 over {spread}; " in found.sentence()
    assert found.row()["interval over"] == spread


def test_small_figures_are_not_printed_as_zeros():
    paired = Paired(9, 0.2, 0.1, 0.3, 3e-9, -0.00284, (1, 1))
    found = Hypothesis("methods", "student", "teacher", "lpips_squeeze", paired, 0.034)
    assert "is +0.2000 (lower is better)" in found.sentence()
    cells = {name: found.row()[name] for name in ("p", "p, adjusted", "relative, %")}
    assert cells == {"p": "< .0001", "p, adjusted": "0.034", "relative, %": "-0.28"}


def write_log(path, rows):
    path.parent.mkdir(parents=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "train/loss", "val/psnr"])
        writer.writerows(rows)


def test_least_faces_is_the_first_validation_above_bicubic(tmp_path):
    write_log(tmp_path / "csv" / "version_0" / "metrics.csv", [(9, 1.0, ""), (9, "", 25.0)])
    write_log(tmp_path / "csv" / "version_1" / "metrics.csv", [(19, "", 26.1), (29, "", 27.0)])
    assert least_faces(tmp_path, 26.0, 4) == 80
    assert least_faces(tmp_path, 24.0, 4) == 40
    assert least_faces(tmp_path, 28.0, 4) is None


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (40, "Each was trained on at least 2.0 times what it needed; .* the budget is enough"),
        (39, "at least 1.9 times what it needed; .* the budget is too small"),
        (10, "srgan_start never was: the budget is too small"),
    ],
)
def test_enough_faces_are_twice_those_that_a_baseline_needed_in_its_own_training(
    steps, said, tmp_path, monkeypatch
):
    """Not in `budget.steps`, of which SRGAN's first phase is half."""
    log = [(step, "", 25 + step / 19) for step in range(9, steps, 10)]
    write_log(tmp_path / "srgan_start" / "csv" / "version_0" / "metrics.csv", log)
    metrics = tmp_path / choice("srgan_start") / "metrics.json"
    write_text(metrics, json.dumps({"metrics": {"bicubic": {"values": {"psnr": 25.9}}}}))
    training = {"steps": steps, "batch_size": 4}
    monkeypatch.setattr("faceskd.reproduce.baselines.read_metadata", lambda _: training)
    options = {"budget": {"batch_size": 4, "steps": 1000}, "baselines": ["srgan_start"]}
    runner = SimpleNamespace(out=tmp_path, outcomes={"srgan_start": None})
    _, text, table = least_faces_section(options, runner)
    assert re.search(said, text)
    assert f"| {4 * steps} |" in table


def test_a_baseline_that_falls_below_bicubic_again_is_named(tmp_path, monkeypatch):
    log = [(9, "", 26.0), (19, "", 16.0)]
    write_log(tmp_path / "srgan" / "csv" / "version_0" / "metrics.csv", log)
    metrics = tmp_path / choice("srgan") / "metrics.json"
    write_text(metrics, json.dumps({"metrics": {"bicubic": {"values": {"psnr": 25.9}}}}))
    training = {"steps": 20, "batch_size": 4}
    monkeypatch.setattr("faceskd.reproduce.baselines.read_metadata", lambda _: training)
    runner = SimpleNamespace(out=tmp_path, outcomes={"srgan": None})
    _, text, table = least_faces_section({"baselines": ["srgan"]}, runner)
    assert text.endswith(" srgan fell below bicubic enlargement again.")
    assert "| no |" in table


def test_the_page_gets_text_and_pictures_between_its_lines(tmp_path):
    out, page = tmp_path / "out", tmp_path / "docs" / "page.md"
    out.joinpath("faces").mkdir(parents=True)
    page.parent.mkdir()
    write_image(out / "faces" / "all.png", np.zeros((30, WIDEST + 600, 3), np.uint8))
    (out / "results.md").write_text(
        "# Title\n\n## Table\n\n| out=/x/out/a src=/x |\n\n![faces](faces/all.png) "
        "[more](faces/report.md) [paper](https://doi.org/x)\n\n## Jobs\n\n| long |\n"
    )
    page.write_text(f"# Page\n\n{OURS[0]}\nold\n{OURS[1]}\n\n{OTHER}\n")
    for _ in range(2):  # the second time replaces what the first wrote
        write_page(page, out / "results.md", "cpu", {"/x": "PHOTOS", "/x/out": "OUT"})
        assert page.read_text() == (
            f"# Page\n\n{OURS[0]}\n\n## Title\n\n### Table\n\n| out=OUT/a src=PHOTOS |\n\n"
            "![faces](results/cpu-faces-all.jpg) more [paper](https://doi.org/x)\n\n"
            f"{OURS[1]}\n\n{OTHER}\n"
        )
    assert Image.open(page.parent / "results" / "cpu-faces-all.jpg").width == WIDEST


def test_no_other_run_changes_the_page_while_it_is_written(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    (tmp_path / "results.md").write_text("text")

    def busy():
        raise BlockingIOError

    def read(*_):
        with pytest.raises(BlockingIOError), held(tmp_path / ".page.md.lock", busy):
            pass
        return "\n".join(OURS)

    monkeypatch.setattr("faceskd.reproduce.page.check_page", read)
    write_page(page, tmp_path / "results.md", "cpu")
    assert page.read_text() == f"{OURS[0]}\n\ntext\n\n{OURS[1]}"


@pytest.mark.parametrize("text", [None, "# Page", OTHER, f"{OURS[1]}\n{OURS[0]}"])
def test_a_page_without_the_lines_is_refused(text, tmp_path):
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    with pytest.raises(ConfigError, match="run in a clone of the repository, or give page=null"):
        write_page(page, tmp_path / "results.md", "cpu")
