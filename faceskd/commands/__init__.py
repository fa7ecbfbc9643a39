"""The commands of the command line, one small module each; the library does the work.

Each module has a function `main`. For `HYDRA_COMMANDS` it is a Hydra application with options
`key=value`. For `PLAIN_COMMANDS` it takes a list of arguments and returns an exit status.
"""

from collections.abc import Sequence
from importlib import import_module

from faceskd.common.errors import ConfigError, FaceskdError

HYDRA_COMMANDS = {
    "portraits": "draw synthetic portraits with known landmarks",
    "landscapes": "draw landscapes in every season, by day and by night",
    "data layout": "make the faces that the released models learned from, from git clones",
    "data verify": "check whether a folder has the faces that the released models learned from",
    "prepare": "find, align and crop the faces of a folder of photos",
    "dictionary": "build the dictionaries of facial components from prepared faces",
    "pools": "collect blur kernels and noise from real low-quality photos",
    "train": "train a network: a teacher, a student, a baseline or an encoder",
    "evaluate": "measure the quality of networks on prepared faces or on whole photos",
    "evaluate translation": "compare translated pictures with the truth, also sharpened or refined",
    "profile": "measure the speed and memory of networks, side by side",
    "export": "convert a network to another format and check that it computes the same",
    "pipeline": "the quick start: run every step once, from photos to restored faces",
    "reproduce": "train every method of the paper and write its tables",
    "release": "train the networks that come with the package",
    "release verify": "check data, plan, files and figures of released models",
    "random_dictionary": "make a dictionary of random atoms, to compare with",
}
PLAIN_COMMANDS = {
    "restore": "restore the faces in photos or in a video",
    "studio": "a web application for restoring photos",
}
COMMANDS = PLAIN_COMMANDS | HYDRA_COMMANDS


def module_name(name: str) -> str:
    """The module of a command; that of "data layout" is `faceskd.commands.data_layout`."""
    return f"faceskd.commands.{name.replace(' ', '_')}"


def run_command(name: str, arguments: Sequence[str]) -> int:
    """Run a command in this process, like `faceskd NAME ARGUMENTS`.

    Returns:
        The exit status of the command.

    Raises:
        ConfigError: there is no such command.
        FaceskdError: the command failed; the message says why.
    """
    if name not in COMMANDS:
        raise ConfigError(f"expected a command ({', '.join(COMMANDS)}), got {name!r}")
    main = import_module(module_name(name)).main
    try:
        if name in PLAIN_COMMANDS:
            return main(list(arguments))
        from faceskd.common.config import compose  # not for `faceskd --help`: it imports Hydra

        main.task(compose(name.replace(" ", "_"), list(arguments)))
    except SystemExit as end:
        if isinstance(end.code, str):
            raise FaceskdError(end.code) from None
        return end.code or 0
    return 0
