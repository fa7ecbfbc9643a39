"""CONTRIBUTING.md describes the package as it is."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_folder_of_the_package_is_described():
    folders = {path.parent.name for path in (ROOT / "faceskd").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/`", TEXT, re.MULTILINE)) == folders


def test_the_diagram_has_the_folders_of_the_import_contract():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    folders = {name for layer in layers for name in re.findall(r"\w+", layer)} - {"__main__"}
    diagram = re.search(r"```text\n(.*?)```", TEXT, re.DOTALL)
    assert set(re.findall(r"[a-z]+", diagram[1])) == folders


def test_every_path_that_is_named_exists():
    named = re.findall(r"`((?:faceskd|conf|tests|tools|docs)/[\w./]*)`", TEXT)
    new = {name for name in named if re.search(r"/x\.(py|yaml)$", name)}
    assert {name for name in named if not (ROOT / name).exists()} == new
