"""The help of a Hydra command: its config file, where comments explain the options."""

import textwrap
from pathlib import Path

from omegaconf import OmegaConf

from faceskd.common.config import conf_dir

HIDDEN = (
    *("defaults:", "hydra:", "jobs:", "shared:", "evaluations:", "profile:", "comparisons:"),
    "as_good:",
)
"""Parts of a config that are not shown: how it is composed, and the jobs of a plan."""


def command_help(name: str, purpose: str) -> str:
    """The text of `faceskd NAME --help`.

    Args:
        name: name of the command and, with "_" for " ", of its file in `conf/`.
        purpose: what the command does.
    """
    path = conf_dir() / f"{name.replace(' ', '_')}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("#").strip() for line in lines[: _first_setting(lines)]]
    example, *remarks = [line for line in comments if line]
    groups = _groups(path)
    width = max(map(len, groups), default=0)
    choices = [_wrapped(f"  {group:<{width}}  ", names) for group, names in groups.items()]
    parts = [
        f"usage: faceskd {name} [KEY=VALUE ...]",
        f"{purpose[0].upper()}{purpose[1:]}.",
        f"example: {example}",
        "\n".join(remarks),
        "options and their defaults (??? must be given):\n" + _indented(_options(lines)),
        "choices, as GROUP=NAME (* the default); each is a file of conf/ with options of its own:\n"
        + "\n".join(choices)
        if choices
        else "",
        f"`faceskd {name} KEY=VALUE ... --cfg job` prints every setting without running anything.\n"
        "KEY.PART=VALUE sets a part, +KEY=VALUE adds one. `--hydra-help` lists Hydra's own flags.",
    ]
    return "\n\n".join(part for part in parts if part)


def _first_setting(lines: list[str]) -> int:
    return next(i for i, line in enumerate(lines) if line and not line.startswith("#"))


def _options(lines: list[str]) -> list[str]:
    """The lines of a config without the comments at the top and the hidden parts."""
    kept: list[str] = []
    hidden = False
    for line in lines[_first_setting(lines) :]:
        if line and not line.startswith((" ", "-")):
            hidden = line.startswith(HIDDEN)
        if not hidden:
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return kept


def _wrapped(start: str, text: str) -> str:
    return textwrap.fill(text, 99, initial_indent=start, subsequent_indent=" " * len(start))


def _indented(lines: list[str]) -> str:
    return "\n".join(f"  {line}".rstrip() for line in lines).strip("\n")


def _groups(path: Path) -> dict[str, str]:
    """The config groups of a config: name -> options, the default with a star."""
    groups = {}
    for entry in OmegaConf.select(OmegaConf.load(path), "defaults", default=[]):
        for group, default in entry.items() if not isinstance(entry, str) else ():
            folder = path.parent / str(group).partition("@")[0]
            if str(group).startswith("override ") or not folder.is_dir():
                continue
            names = sorted(file.stem for file in folder.glob("*.yaml"))
            groups[str(group)] = ", ".join(n + "*" * (n == default) for n in names)
    return groups
