"""Paths with any characters reach every command as they stand on its command line."""

from itertools import cycle

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from PIL import Image

from faceskd.cli import main
from faceskd.common.arguments import with_literal_paths
from faceskd.common.config import compose, hydra_main, to_plain
from faceskd.jobs.plan import read_plan

NAMES = ["My Photos (1)", "Übung", "a=b", "it's", "a,b"]
MORE = (
    *("2024", "1.10", "true", "null x", "[1] x", "[2020]", "{x}", "a:b", "x#y", "50% & more"),
    *('say "hi"', "back\\slash", "100$", "写真", "range(1,3)", "it's (1), x", " a", "a ", "-x"),
    *("@home", "a;b", "!", "*.png", "a|b"),
)

OPTIONS = {
    "prepare": ["src", "dst", "split_file"],
    "dictionary": ["faces", "out"],
    "train": ["data.faces", "out", "init"],
    "evaluate": ["faces", "photos", "out", "methods.student", "+methods.rcan", "dictionary"],
    "export": ["weights", "out", "faces"],
    "profile": ["out", "faces", "calibration"],
    "portraits": ["dst"],
}


@pytest.mark.parametrize(
    ("command", "names"),
    [(command, NAMES) for command in OPTIONS]
    + [("prepare", MORE[start : start + 3]) for start in range(0, len(MORE), 3)],
)
def test_every_path_option_of_every_command(command, names, monkeypatch, tmp_path):
    given, got = dict(zip(OPTIONS[command], cycle(names), strict=False)), {}

    def task(cfg):
        got.update({option: OmegaConf.select(cfg, option.lstrip("+")) for option in given})

    words = [f"{option}={name}" for option, name in given.items()]
    if command == "train":
        words.append(f"hydra.run.dir={tmp_path}")
    monkeypatch.setattr("sys.argv", [f"faceskd {command}", *words])
    monkeypatch.chdir(tmp_path)
    hydra_main(command)(task)()
    assert got == given


def test_a_folder_with_such_a_name_is_prepared(tmp_path, capsys, monkeypatch):
    src = tmp_path / "It's = My, Photos (1) Übung"
    src.mkdir()
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(src / "wall.png")
    with pytest.raises(SystemExit) as end:
        main(["prepare", f"src={src}", f"dst={tmp_path / 'a,b'}", "processes=1"])
    assert end.value.code == 1  # no face on the wall
    assert (tmp_path / "a,b/manifest.csv").is_file()
    assert "no_face" in capsys.readouterr().out


def parsed(word):
    return OverridesParser.create().parse_override(word)


letters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="$\\~")
texts = st.text(letters | st.sampled_from("'\" ,=[]{}()0"), min_size=1)


@given(text=texts.filter(lambda text: text not in ("null",) and text[0] not in "'\""))
def test_any_text_comes_back(text):
    (word,) = with_literal_paths([f"src={text}"])
    assert str(parsed(word).value()) == (text.rstrip("/") or "/")
    assert with_literal_paths([word]) == [word]


@pytest.mark.parametrize(
    "word",
    ["src=faces", "src='My Photos (1)'", 'src="a,b"', "split_file=null", "out=${src}/x y", "src=",
     "out=${oc.env:HOME,x}/a", "quality=[a.json,b.json]", "quality=[a, b.json]", "steps=1,2",
     "models=[a,b]", "--config-dir=x y", "~split_file", "experiment=a,b", "min_face=abc"],
)  # fmt: skip
def test_what_is_no_path_or_is_meant_for_hydra_is_left_alone(word):
    assert with_literal_paths([word]) == [word]


def test_sweeps_over_paths_are_sweeps():
    words = ["-m", "out=a,b", "init=choice(x,y)"]
    assert with_literal_paths(words) == words
    assert with_literal_paths(["-m", "out=My Photos (1)"])[1] == "out='My Photos (1)'"


def test_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann b")
    (word,) = with_literal_paths(["src=~/photos"])
    assert parsed(word).value() == "/home/ann b/photos"


def test_the_home_folder_of_nobody_is_a_name(monkeypatch):
    (word,) = with_literal_paths(["src=~nobody_here/x"])
    assert parsed(word).value() == "~nobody_here/x"
    monkeypatch.setenv("FACESKD_WEIGHTS", "~nobody_here")
    monkeypatch.setenv("FACESKD_FACES", "~nobody_here")
    assert compose("pipeline").photos.endswith("/~nobody_here")
    assert compose("reproduce", ["budget=cpu"]).budget.encoder_weights is None


@pytest.mark.parametrize("folder", ["runs/q", "/a b/it's", "~/runs"])
def test_a_slash_at_the_end_changes_no_job(folder):
    """Else a plan would delete what it made, when the shell completed the name of its folder."""
    plans = []
    for text in (folder, f"{folder}/", f"{folder}//"):
        words = with_literal_paths([f"out={text}", "photos=null"])
        plans.append(read_plan(to_plain(compose("pipeline", words))))
    assert plans[0] == plans[1] == plans[2]


def test_the_slash_of_the_whole_disk_stays():
    assert with_literal_paths(["src=/", "photos=a/"]) == ["src=/", "photos=a"]


def test_tables_with_chosen_names_are_no_paths() -> None:
    """`photos` is a path option of `evaluate`, and may be the name of a folder to train on."""
    word = "+data.folders.photos={path:PHOTOS,share:1}"
    assert with_literal_paths([word]) == [word]


@pytest.mark.parametrize(
    "word", ["seeds.teacher=1", "steps.teacher=500", "+jobs.photos={needs:[faces]}"]
)
def test_names_of_jobs_are_no_paths(word) -> None:
    """`teacher` is a path option of `train`, and a training of the plans."""
    assert with_literal_paths([word]) == [word]


@pytest.mark.parametrize(
    "word",
    ["callbacks.pictures.faces=8", "engine.teacher=[a,b]", "losses.terms.x.loss.weights=[1,2]",
     "evaluations.methods.methods=[teacher,rcan]", "more.teacher=[a=1]"],
)  # fmt: skip
def test_numbers_and_lists_of_options_with_the_names_of_paths(word) -> None:
    assert with_literal_paths([word]) == [word]


@pytest.mark.parametrize("key", ["data.a", "b", "+data.folders.x.path", "bad_photos", "second"])
def test_paths_of_groups_are_literal(key) -> None:
    for path in ("/x/Müller", "2024", "Old Photos (1)", "a,b"):
        (word,) = with_literal_paths([f"{key}={path}"])
        assert parsed(word).value() == path
