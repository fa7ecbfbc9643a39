"""Arguments of `faceskd restore`: what they are for has them, or they end it with status 2."""

from dataclasses import asdict

import pytest
from helpers.fakes import noise, write_nearest

from faceskd.commands.restore import main
from faceskd.common.images import write_image
from faceskd.pretrained import SCENE, model_path
from faceskd.restore.restorer import Restorer


class Recorder(Restorer):
    """Keeps what it is made with, and loads nothing."""

    frame = None

    def __init__(self, weights, **options):
        self.given = {"weights": weights} | options
        self.scene, self.detector = options["scene"], options["detector"]


@pytest.fixture
def reached(tmp_path, monkeypatch):
    """A function: words of a command line -> what restorer, task and run are given."""
    write_image(tmp_path / "in/a.png", noise(40, 40, 3))
    given = {}

    def run(restorer, inputs, out, task, *, workers, **_):
        given.update(restorer.given | asdict(task._settings))
        given.update(min_face=given.pop("detector").min_face, workers=workers)
        given.update(ext=task._ext, paste_back=task._paste_back)
        assert task._scene == restorer.scene
        return []

    monkeypatch.setattr("faceskd.commands.restore.Restorer", Recorder)
    monkeypatch.setattr("faceskd.commands.restore.restore_inputs", run)

    def reach(*words):
        assert main(["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words]) == 0
        return dict(given)

    return reach


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("--model photo-s", {"weights": model_path("photo-s")}),
        ("--weights a.onnx", {"weights": "a.onnx"}),
        ("--fidelity 0.3", {"fidelity": 0.3}),
        ("--fidelity 1 --faithful-weights a.ckpt", {"fidelity": 1, "faithful": "a.ckpt"}),
        ("--scale 3.5", {"scale": 3.5}),
        ("--strength 0.5", {"strength": 0.5}),
        ("--faces force", {"faces": "force"}),
        ("--only-center-face", {"only_center_face": True}),
        ("--background none", {"background": "none"}),
        ("--background scene", {"background": "scene", "scene": model_path(SCENE, role="scene")}),
        ("--background scene --scene-weights a", {"background": "scene", "scene": "a"}),
        ("--min-face 40", {"min_face": 40}),
        ("--no-paste-back", {"paste_back": False}),
        ("--ext webp", {"ext": "webp"}),
        ("--batch-size 3", {"batch_size": 3}),
        ("--workers 5", {"workers": 5}),
        ("--device cuda:1", {"device": "cuda:1"}),
        ("--precision fp32", {"precision": "fp32"}),
    ],
)
def test_an_option_changes_what_it_is_for_and_nothing_else(line, changed, reached):
    before = reached()
    assert reached(*line.split()) == before | changed != before


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--min-face", ("0", "-3", "nan", "inf")),
        ("--scale", ("0", "9", "nan")),
        ("--strength", ("-1", "2", "nan")),
        ("--fidelity", ("-1", "2", "nan", "0.5")),
        ("--batch-size", ("0", "-1", "1.5")),
        ("--workers", ("0", "-1", "many")),
    ],
)
def test_numbers_outside_their_range(option, values, tmp_path, capsys):
    write_image(tmp_path / "in/a.png", noise(40, 40, 3))
    given = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    given += ["-w", str(write_nearest(tmp_path))]
    for value in values:
        with pytest.raises(SystemExit) as exit_:
            main([*given, f"{option}={value}"])
        assert exit_.value.code == 2
        *_, sentence = capsys.readouterr().err.strip().splitlines()
        assert "error: " in sentence and "expected " in sentence and ", got " in sentence
    assert not (tmp_path / "out").exists()


def test_skipped_faces_have_their_row(tmp_path):
    write_image(tmp_path / "in/a.png", noise(32, 32, 3))
    given = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert main([*given, "-w", str(write_nearest(tmp_path)), "--faces", "skip"]) == 0
    assert ",skipped," in (tmp_path / "out/results.csv").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--aligned", "--scale", "4"], "--scale has no effect with --aligned"),
        (["--aligned", "--no-paste-back"], "--no-paste-back has no effect with --aligned"),
        (["--faithful-weights", "a"], "--faithful-weights has no effect with --fidelity 0"),
        (["--no-paste-back", "--ext", "png"], "--ext has no effect with --no-paste-back"),
        (["--no-paste-back", "--background", "none"], "--background has no effect with --no-paste"),
        (["--faces", "skip", "--strength", "0.5"], "--strength has no effect with --faces skip"),
        (["--scene-weights", "a"], "--scene-weights has no effect with --background lanczos"),
    ],
)
def test_options_without_effect_are_refused(words, message, tmp_path, capsys):
    write_image(tmp_path / "in/a.png", noise(40, 40, 3))
    given = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as exit_:
        main([*given, "-w", str(write_nearest(tmp_path)), *words])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
