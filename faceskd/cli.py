"""`faceskd COMMAND ...`: finds the command and passes the rest of the line on to it.

Most commands are Hydra applications, which read `key=value` themselves. They run as
`python -m faceskd.commands.COMMAND` would: when Lightning starts more processes for DDP, it finds
the same module again. `restore` and `studio` are plain commands with flags.
"""

import difflib
import os
import runpy
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from faceskd.commands import COMMANDS, HYDRA_COMMANDS, PLAIN_COMMANDS, module_name
from faceskd.common.version import __version__


def usage() -> str:
    """The text of `faceskd --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: faceskd [--help] [--version] COMMAND ...",
            "",
            "Restore the faces in photos and videos, and train the networks that do it.",
            "",
            "commands:",
            *lines,
            "",
            "`faceskd COMMAND --help` shows the options of a command. Those of restore and studio",
            "are flags (--scale 2); those of all other commands have the form KEY=VALUE.",
        ]
    )


def program() -> NoReturn:
    """The program `faceskd`: runs `main` and ends the process.

    When a plain command returns, its threads are joined and its files are closed. It then ends at
    once: to free PyTorch's objects one by one would take another second.
    """
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.argv[1:2] and sys.argv[1] in PLAIN_COMMANDS:
        os._exit(status)
    sys.exit(status)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the command line without the program's name; None takes `sys.argv`.

    Returns:
        The exit status: 0 for success, 2 for a command that does not exist. A Hydra command that
        fails raises SystemExit with its own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage() + "\n")
        return 0 if arguments else 2
    name, *rest = arguments
    if rest and f"{name} {rest[0]}" in COMMANDS:  # a command of two words
        name, rest = f"{name} {rest[0]}", rest[1:]
    if name in ("-V", "--version", "version"):
        sys.stdout.write(f"faceskd {__version__}\n")
        return 0
    if name in PLAIN_COMMANDS:
        return import_module(module_name(name)).main(rest)
    if name in HYDRA_COMMANDS:
        if rest in (["-h"], ["--help"]):  # with more words, Hydra shows what they compose
            from faceskd.common.help import command_help

            sys.stdout.write(command_help(name, HYDRA_COMMANDS[name]) + "\n")
            return 0
        return _run_module(name, rest)
    sys.stderr.write(_unknown(name) + "\n")
    return 2


def _run_module(name: str, arguments: list[str]) -> int:
    before = sys.argv
    sys.argv = [f"faceskd {name}", *arguments]
    try:
        runpy.run_module(module_name(name), run_name="__main__", alter_sys=True)
    finally:
        sys.argv = before
    return 0


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "see: faceskd --help"
    return f"faceskd: expected a command ({', '.join(COMMANDS)}), got {name!r}; {hint}"
