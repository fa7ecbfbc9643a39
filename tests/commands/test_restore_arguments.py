"""Arguments of `faceskd restore` outside their range end it with one sentence and status 2."""

import pytest
from helpers.fakes import noise, write_nearest

from faceskd.commands.restore import main
from faceskd.common.images import write_image


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
