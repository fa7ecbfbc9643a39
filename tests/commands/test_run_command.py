"""Commands that run others in the same process: their statuses and errors."""

import sys
from types import SimpleNamespace

import pytest

from faceskd.commands import run_command
from faceskd.common.errors import ConfigError, FaceskdError


@pytest.fixture
def ends(monkeypatch):
    """Puts a function in the place of the commands `restore` and `train`."""

    def put(action):
        def main(arguments):
            return action()

        main.task = lambda cfg: action()
        for name in ("restore", "train"):
            module = SimpleNamespace(main=main)
            monkeypatch.setitem(sys.modules, f"faceskd.commands.{name}", module)

    return put


def stop(code):
    def action():
        raise SystemExit(code)

    return action


@pytest.mark.parametrize("name", ["restore", "train"])
@pytest.mark.parametrize(("code", "status"), [(None, 0), (0, 0), (1, 1), (75, 75), (143, 143)])
def test_an_exit_is_a_status(ends, name, code, status):
    ends(stop(code))
    assert run_command(name, []) == status


def test_a_plain_command_returns_its_status(ends):
    ends(lambda: 1)
    assert run_command("restore", ["-i", "a"]) == 1


@pytest.mark.parametrize("name", ["restore", "train"])
def test_an_exit_with_a_message_is_an_error(ends, name):
    ends(stop("no faces"))
    with pytest.raises(FaceskdError, match="no faces"):
        run_command(name, [])


def test_an_error_comes_through(ends):
    def action():
        raise FaceskdError("no faces")

    ends(action)
    with pytest.raises(FaceskdError, match="no faces"):
        run_command("train", [])


def test_a_command_that_does_not_exist():
    with pytest.raises(ConfigError, match=r"expected a command \(restore, .*\), got 'paint'"):
        run_command("paint", [])
