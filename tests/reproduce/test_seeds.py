"""Jobs and tables of methods that are trained with several seeds."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from faceskd.common.config import compose, to_plain
from faceskd.common.errors import ConfigError
from faceskd.jobs.plan import read_jobs
from faceskd.reproduce.hypotheses import compare_methods
from faceskd.reproduce.page import END, START
from faceskd.reproduce.paper import evaluation_job, profile_job, reproduce
from faceskd.reproduce.seeds import seeded_options, with_seeds
from faceskd.reproduce.tables import Evaluated

JOBS = {
    "faces": {"command": "prepare"},
    "teacher": {"command": "train", "needs": ["faces"], "overrides": ["steps=3"]},
    "student": {"command": "train", "needs": ["teacher"]},
}


def test_each_seed_is_a_training_of_its_own(tmp_path):
    jobs = read_jobs(with_seeds(JOBS, {"student": 3}), {"train": ["a=1"]}, tmp_path)
    assert [*jobs] == ["faces", "teacher", "student", "student_seed1", "student_seed2"]
    second = jobs["student_seed2"]
    assert second.needs == ("teacher",)
    assert second.output == tmp_path / "student_seed2"
    assert [word for word in second.overrides if word.startswith("seed=")] == ["seed=2"]
    assert not [word for word in jobs["student"].overrides if word.startswith("seed=")]


@pytest.mark.parametrize("seeds", [{"nobody": 2}, {"faces": 2}, {"teacher": 0}, {"teacher": "1"}])
def test_what_cannot_have_seeds_is_said(seeds):
    with pytest.raises(ConfigError, match="expected seeds to name trainings"):
        with_seeds(JOBS, seeds)


def test_tables_measure_every_training():
    options = {
        "jobs": JOBS,
        "seeds": {"student": 2},
        "other_dictionaries": {},
        "evaluations": {"t": {"methods": ["teacher", "student"]}},
    }
    assert seeded_options(options)["evaluations"]["t"]["methods"] == [
        "teacher", "student", "student_seed1",
    ]  # fmt: skip


def test_another_dictionary_has_all_seeds_of_its_training():
    options = {
        "jobs": JOBS,
        "seeds": {"teacher": 2},
        "other_dictionaries": {"extended": {"training": "teacher", "dictionary": "more"}},
        "evaluations": {"t": {"methods": ["extended"]}},
    }
    found = seeded_options(options)
    assert found["seeds"] == {"teacher": 2, "extended": 2}
    assert found["other_dictionaries"] == {
        "extended": {"training": "teacher", "dictionary": "more"},
        "extended_seed1": {"training": "teacher_seed1", "dictionary": "more"},
    }
    assert found["evaluations"]["t"]["methods"] == ["extended", "extended_seed1"]


@pytest.fixture
def evaluated(tmp_path):
    """Two faces; the student was trained twice."""
    figures = {
        "bicubic": (20.0, 22.0), "teacher": (25.0, 27.0), "student": (24.0, 26.0),
        "student_seed1": (26.0, 30.0),
    }  # fmt: skip
    record = {
        name: {"values": {"psnr": sum(values) / 2}, "interval_95": {"psnr": list(values)}}
        for name, values in figures.items()
    }
    (tmp_path / "metrics.json").write_text(
        json.dumps({"faces": 2, "metrics": record, "unavailable": {}})
    )
    with (tmp_path / "per_image.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "method", "psnr"])
        writer.writerows(
            [f"{i}.png", n, v] for n, two in figures.items() for i, v in enumerate(two)
        )
    methods = {"teacher": ["teacher"], "student": ["student", "student_seed1"]}
    return Evaluated("methods", "Table", tmp_path, methods)


def test_a_row_is_the_mean_of_the_trainings(evaluated):
    assert evaluated.rows() == [
        {"method": "bicubic", "psnr": 21.0},
        {"method": "teacher", "psnr": 26.0},
        {"method": "student", "psnr": 26.5},
    ]
    assert [row["method"] for row in evaluated.interval_rows()] == ["bicubic", "teacher"]
    assert evaluated.seed_rows() == [{"method": "student", "psnr": "25.00, 28.00"}]
    assert "25.00, 28.00" in evaluated.markdown()


def test_a_comparison_has_all_trainings(evaluated):
    (found,) = compare_methods([evaluated], [("methods", "student", "teacher")])
    assert found.paired.trainings == (2, 1)
    assert found.paired.difference == pytest.approx(0.5)
    assert (found.paired.low, found.paired.high) == (0, 1)  # of the two faces
    assert found.verdict == "undecided"


class Commands:
    """Stands in for the commands: notes the methods of evaluations, and writes their figures."""

    def __init__(self):
        self.measured = []

    def __call__(self, command, overrides):
        values = dict(text.lstrip("+").split("=", 1) for text in overrides)
        out = Path(values["out"])
        out.mkdir(parents=True, exist_ok=True)
        if command == "train":
            (out / "weights.safetensors").write_text("")
        else:
            self.measured = [
                name.removeprefix("methods.") for name in values if name.startswith("methods.")
            ]
            self._write_figures(out)
        return 0

    def _write_figures(self, out):
        figures = {name: 20.0 + number for number, name in enumerate(["bicubic", *self.measured])}
        record = {
            name: {"values": {"psnr": value}, "interval_95": {"psnr": [value, value]}}
            for name, value in figures.items()
        }
        content = {"faces": 1, "metrics": record, "unavailable": {}}
        (out / "metrics.json").write_text(json.dumps(content))
        rows = [f"0.png,{name},{value}" for name, value in figures.items()]
        (out / "per_image.csv").write_text("\n".join(["name,method,psnr", *rows]))


def toy(out, *words):
    """The options of a plan with one training, of two seeds."""
    cfg = compose(
        "reproduce",
        [f"out={out}", "photos=null", "budget.encoder_weights=torchvision", "+seeds.plain=2",
         "tables=methods", "profile.models=[]", *words],
    )  # fmt: skip
    for name in cfg.jobs:
        cfg.jobs[name] = None
    cfg.jobs.plain = {"command": "train", "overrides": ["+encoder.weights=torchvision"]}
    cfg.evaluations.methods.methods = ["plain"]
    return to_plain(cfg)


def test_seeds_are_no_methods_of_the_tables(tmp_path):
    commands = Commands()
    assert reproduce(toy(tmp_path, "figure_1=false"), commands, Console(quiet=True)) == 0
    assert commands.measured == ["plain", "plain_seed1"]
    with (tmp_path / "table_methods.csv").open(newline="") as file:
        assert {row["method"]: float(row["psnr"]) for row in csv.DictReader(file)} == {
            "bicubic": 20.0, "plain": 21.5,
        }  # fmt: skip
    assert "budget=quick, tables=methods\n" in (tmp_path / "results.md").read_text()


def test_table_3_may_have_methods_that_no_job_of_their_name_makes():
    options = {
        "out": "/out",
        "shared": {"profile": [], "evaluate": []},
        "jobs": {},
        "other_dictionaries": {"extended": {"training": "teacher", "dictionary": "more"}},
    }
    files = {name: Path(f"{name}.safetensors") for name in ("nearest", "extended", "plain")}
    runner = SimpleNamespace(outcomes=dict.fromkeys(["teacher", "more", "plain"]))
    made = ("teacher", "more", "plain")
    assert profile_job([*files], files, options, runner).needs == made
    table = {"methods": [*files], "faces": "/faces", "needs": []}
    assert evaluation_job("t", table, files, options, runner).needs == made


def test_results_without_pictures(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(
        f"{START.format('quick-tables-methods')}\n{END.format('quick-tables-methods')}\n"
    )
    found = {"faces": 2, "found_on_hr": 2, "found_on_lr": 1}
    monkeypatch.setattr("faceskd.reproduce.paper.measure_landmarks", lambda *_: found)
    options = toy(tmp_path / "out", "show=0", f"page={page}")
    assert reproduce(options, Commands(), Console(quiet=True)) == 0
    text = page.read_text()
    assert "MTCNN finds landmarks on 2 HR" in text
    assert "landmarks.png" not in (tmp_path / "out" / "results.md").read_text()
    assert "OUT" not in text  # the jobs, with their paths, are not on the page


def test_a_training_that_cannot_run_is_told_before_the_first(tmp_path):
    options = toy(tmp_path / "out", "figure_1=false", "budget.steps=100", "budget.chunk=80")
    with pytest.raises(
        ConfigError, match=r"plain cannot run: expected steps as a multiple of .*80"
    ):
        reproduce(options, pytest.fail, Console(quiet=True))


def test_a_number_of_faces_that_is_none_is_refused_at_once(tmp_path):
    with pytest.raises(ConfigError, match="expected show as a whole number of at least 0, got -1"):
        reproduce(toy(tmp_path, "show=-1"), pytest.fail, Console(quiet=True))
