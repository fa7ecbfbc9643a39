"""The dispatch of the command line."""

import subprocess
import sys
import types
from pathlib import Path

import pytest
from omegaconf import OmegaConf

import faceskd
from faceskd import cli
from faceskd.common.config import conf_dir
from faceskd.common.help import HIDDEN


def test_help_names_every_command(capsys):
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {name} " in printed for name in cli.COMMANDS)


def test_every_module_of_commands_can_be_called_by_name():
    folder = Path(cli.__file__).parent / "commands"
    modules = {path.stem for path in folder.glob("[a-z]*.py")}
    assert modules == {name.replace(" ", "_") for name in cli.COMMANDS}


def test_no_command_is_an_error_that_shows_the_help(capsys):
    assert cli.main([]) == 2
    assert "usage: faceskd" in capsys.readouterr().out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"faceskd {faceskd.__version__}"


@pytest.mark.parametrize(("typed", "meant"), [("trian", "train"), ("restor", "restore")])
def test_unknown_command_suggests(typed, meant, capsys):
    assert cli.main([typed]) == 2
    assert f"did you mean {meant!r}?" in capsys.readouterr().err


def test_unknown_command_without_a_near_one(capsys):
    assert cli.main(["xyzzy"]) == 2
    message = capsys.readouterr().err
    assert "xyzzy" in message
    assert "--help" in message


@pytest.fixture
def command(tmp_path, monkeypatch):
    """A command of the given source, in the place of the Hydra command `train`."""

    def install(source):
        (tmp_path / "train.py").write_text(source)
        package = types.ModuleType("faceskd.commands")
        package.__path__ = [str(tmp_path)]
        monkeypatch.setitem(sys.modules, "faceskd.commands", package)
        monkeypatch.delitem(sys.modules, "faceskd.commands.train", raising=False)

    return install


def test_a_hydra_command_is_main_under_its_module_name(command, tmp_path):
    """Lightning restarts a script for DDP by `__main__.__spec__.name` and `sys.argv[1:]`."""
    command(
        "import sys, pathlib\n"
        "spec = sys.modules['__main__'].__spec__\n"
        f"pathlib.Path({str(tmp_path / 'seen')!r}).write_text("
        "'|'.join([__name__, spec.name, *sys.argv[1:]]))\n"
    )
    before = list(sys.argv)
    assert cli.main(["train", "trainer.max_steps=1", "a b"]) == 0
    seen = (tmp_path / "seen").read_text()
    assert seen == "__main__|faceskd.commands.train|trainer.max_steps=1|a b"
    assert sys.argv == before


def test_the_exit_status_of_a_hydra_command_is_kept(command):
    command("raise SystemExit(2)\n")
    with pytest.raises(SystemExit) as stop:
        cli.main(["train"])
    assert stop.value.code == 2


def test_import_and_help_do_not_import_torch():
    code = (
        "import sys, faceskd.cli; faceskd.cli.main(['--help']);"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("name", cli.HYDRA_COMMANDS)
def test_the_help_of_a_command_is_its_config_with_its_comments(name, capsys):
    """Every option with its default; nothing of how the config is composed."""
    assert cli.main([*name.split(), "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: faceskd {name} ")
    assert f"example: faceskd {name}" in printed
    config = OmegaConf.load(conf_dir() / f"{name.replace(' ', '_')}.yaml")
    for key in config:
        assert (f"\n  {key}:" in printed) == (f"{key}:" not in HIDDEN), key
    groups = [next(iter(entry)) for entry in config.defaults if not isinstance(entry, str)]
    for group in groups:
        assert (f"\n  {group} " in printed) == (not group.startswith("override "))
    assert max(map(len, printed.splitlines())) <= 120


def test_a_choice_of_the_help_is_a_file_and_the_default_has_a_star(capsys):
    assert cli.main(["prepare", "--help"]) == 0
    printed = capsys.readouterr().out
    assert "  crop       box, none, similarity*\n" in printed
    assert "\n  src: ???  # folder of photos" in printed


def test_with_more_words_the_help_is_what_they_compose(command, tmp_path):
    command(f"import sys, pathlib; pathlib.Path({str(tmp_path / 'a')!r}).write_text(sys.argv[1])")
    assert cli.main(["train", "model=lite_s", "--help"]) == 0
    assert (tmp_path / "a").read_text() == "model=lite_s"


def test_python_m_faceskd():
    done = subprocess.run(
        [sys.executable, "-m", "faceskd", "nonsense"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "nonsense" in done.stderr


@pytest.mark.parametrize(
    ("line", "status", "told"),
    [
        (["restore", "-i", "broken", "-o", "out"], 1, "1 unreadable"),
        (["restore", "-i", "nowhere", "-o", "out"], 2, "nowhere"),
        (["evaluate", "faces=nowhere", "out=out"], 2, "nowhere"),
    ],
)
def test_the_program_ends_with_the_status_and_all_that_was_said(line, status, told, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_bytes(b"no image")
    done = subprocess.run(
        [sys.executable, "-m", "faceskd", *line], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    assert told in done.stderr


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="Restore"):
        _ = faceskd.Restore
