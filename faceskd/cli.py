"""`faceskd COMMAND ...`: finds the command and hands the rest of the line to it.

Most commands are Hydra applications, which own their command line (`key=value`). They run as
`python -m faceskd.commands.COMMAND` would, so that when Lightning starts further processes for
DDP it finds the same module again. `restore` is a plain command with flags.
"""

import difflib
import os
import runpy
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from faceskd.common.version import __version__

HYDRA_COMMANDS = {
    "portraits": "draw synthetic portraits whose landmarks are known",
    "prepare": "find, align and crop the faces of a folder of photos",
    "dictionary": "build the facial-component dictionaries of an encoder",
    "train": "train a network: supervised, adversarial or distilled",
    "evaluate": "measure networks on faces that were never trained on",
    "profile": "measure time, memory and work of networks side by side",
    "export": "write a network for another runtime, checked against PyTorch",
    "pipeline": "run all stages in sequence: the quick start",
    "experiment": "train every method of the paper and write its tables",
    "random_dictionary": "replace a dictionary's atoms by noise, to see whether they matter",
}
PLAIN_COMMANDS = {"restore": "restore the faces of photos, of a folder or of a video"}
COMMANDS = HYDRA_COMMANDS | PLAIN_COMMANDS


def usage() -> str:
    """The text of `faceskd --help`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "usage: faceskd [--help] [--version] COMMAND ...",
            "",
            "Face super-resolution, 32x32 to 256x256, with distilled component dictionaries.",
            "",
            "commands:",
            *lines,
            "",
            "Options of a command: faceskd COMMAND --help. All but restore take key=value.",
        ]
    )


def program() -> NoReturn:
    """The program `faceskd`: `main`, and out.

    When a plain command returns, its threads are joined and its files closed. To take PyTorch
    apart, object by object, before the process ends would be a second more of waiting.
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
        The exit status: 0 when all went well, 2 for a command that does not exist.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage() + "\n")
        return 0 if arguments else 2
    name, *rest = arguments
    if name in ("-V", "--version", "version"):
        sys.stdout.write(f"faceskd {__version__}\n")
        return 0
    if name in PLAIN_COMMANDS:
        return import_module(f"faceskd.commands.{name}").main(rest)
    if name in HYDRA_COMMANDS:
        return _run_module(name, rest)
    sys.stderr.write(_unknown(name) + "\n")
    return 2


def _run_module(name: str, arguments: list[str]) -> int:
    before = sys.argv
    sys.argv = [f"faceskd {name}", *arguments]
    try:
        runpy.run_module(f"faceskd.commands.{name}", run_name="__main__", alter_sys=True)
    finally:
        sys.argv = before
    return 0


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "see: faceskd --help"
    return f"faceskd: expected a command ({', '.join(COMMANDS)}), got {name!r}; {hint}"
