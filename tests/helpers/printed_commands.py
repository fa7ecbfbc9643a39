"""Commands as the pages print them, run by a shell that finds smaller `faceskd`, `make` and `pip`.

A page's words in capitals are files and folders of these names; FILES get the suffix of their kind.
What makes a command smaller is put behind it by a program of its name that comes first in PATH, so
that the shell reads what is printed.
"""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRAIN = (
    "steps=1",
    "data.steps_per_epoch=1",
    "data.batch_size=1",
    "data.val_limit=1",
    "data.workers=0",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "++callbacks.pictures=null",
    "++callbacks.progress=null",
    "logger=none",
    "threads=1",
)
SMALLER: Mapping[str, tuple[str, ...]] = {
    "portraits": ("count=14", "processes=1"),
    "landscapes": ("count=2", "val_count=1", "size=128", "processes=1"),
    "prepare": ("processes=1",),
    "pools": (),
    "dictionary": ("atoms=3", "contact_sheets=false"),
    "train": TRAIN,
    "evaluate": ("metrics=[psnr]", "groups=null"),
    "evaluate translation": (),
    "export": (),
    "profile": ("repeats=1", "warmup=0", "batch_sizes=[1]", "forms=[fp32]", "threads=1"),
    "restore": (),
}
"""What is put behind the words of each command."""

FILES = {
    "VIDEO": "VIDEO.mp4",
    "TEACHER": "TEACHER.safetensors",
    "STUDENT": "STUDENT.safetensors",
    "DICTIONARY": "DICTIONARY.safetensors",
    "NETWORK": "NETWORK.safetensors",
    "DRAWINGS": "PHOTOS",
}
FOLDERS = ("PHOTO", "PHOTOS", "MASKS", "OUT", "FACES", "CLEAN", "CHECK", "OLD", "BAD", "SCENES")
CAPITALS = re.compile(r"(?<![\w.])[A-Z]{3,}(?![\w.])")
SHIM = """#!{python}
import os, sys
sys.path.insert(0, {tests!r})
from helpers.printed_commands import {function}
os.environ["PATH"] = os.environ["PATH"].split(os.pathsep, 1)[1]
{function}(sys.argv[1:])
"""


@dataclass(frozen=True)
class Block:
    """A block of code of a page: "sh" or "python", its text, the line of the page it begins at."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Every block of a page that a reader would type or run."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(sh|python)\n(.*?)^```$", text, re.M | re.S)
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in found]


def run_block(block: Block, folder: Path, **environment: str) -> str:
    """Run a block in a folder; its output.

    Raises:
        AssertionError: it did not end with status 0, or names a file in capitals that has no such
            name here.
    """
    if block.language == "sh":
        unknown = set(CAPITALS.findall(block.text)) - {*FILES, *FOLDERS}
        assert not unknown, f"line {block.line}: {unknown} are no names of files"
    text = CAPITALS.sub(lambda name: FILES.get(name[0], name[0]), block.text)
    path = os.pathsep.join([str(_programs(folder)), os.environ["PATH"]])
    python = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", text] if block.language == "python"
        else ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder, env=os.environ | {"PATH": path, "PYTHONPATH": python} | environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"line {block.line}:\n{block.text}\n{done.stdout[-3000:]}"
    return done.stdout


def _programs(folder: Path) -> Path:
    """The programs that stand for those of the page."""
    programs = folder / ".programs"
    programs.mkdir(exist_ok=True)
    for name in ("faceskd", "torchrun", "make", "pip"):
        path = programs / name
        path.write_text(
            SHIM.format(python=sys.executable, tests=str(ROOT / "tests"), function=name)
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return programs


def faceskd(words: list[str]) -> None:
    """The command, made smaller; of `reproduce` and `release` the jobs are named."""
    if words[0] in ("reproduce", "release"):
        print(*_jobs_of_plan(*words), sep="\n")
        return
    two = " ".join(words[:2])
    smaller = SMALLER[two if two in SMALLER else words[0]]
    os.execv(sys.executable, [sys.executable, "-m", "faceskd", *words, *smaller])


def _jobs_of_plan(command: str, *words: str) -> list[str]:
    """The jobs that the command would run, from its words as a user types them."""
    from faceskd.common.arguments import with_literal_paths
    from faceskd.common.config import compose, to_plain
    from faceskd.reproduce import paper, release

    options = to_plain(compose(command, with_literal_paths(_first_of_sweep(words))))
    jobs = paper.planned(options)[1] if command == "reproduce" else release.planned(options)
    return list(jobs)


def _first_of_sweep(words: Sequence[str]) -> list[str]:
    """The overrides as Hydra reads them; of a sweep those of its first job."""
    from hydra._internal.utils import get_args_parser

    read = get_args_parser().parse_args(words)
    return [word.split(",")[0] if read.multirun else word for word in read.overrides]


def torchrun(words: list[str]) -> None:
    """A training in several processes, made smaller."""
    line = [sys.executable, "-m", "torch.distributed.run", *words, *TRAIN]
    os.execv(sys.executable, line)


def make(words: list[str]) -> None:
    """Say what the Makefile's target would do: it takes long, and is there."""
    os.execvp("make", ["make", "-n", "-C", str(ROOT), *words])


def pip(words: list[str]) -> None:
    """Check what would be installed: this project with extras that it has."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    if words[:1] != ["install"] or len(words) != 2:
        raise SystemExit(f"expected `pip install .`, got pip {words}")
    extras = re.fullmatch(r"\.(?:\[([\w,]+)\])?", words[1])
    if not extras or not set(filter(None, (extras[1] or "").split(","))) <= set(
        project["optional-dependencies"]
    ):
        raise SystemExit(f"{words[1]!r} is not this project with extras that it has")
