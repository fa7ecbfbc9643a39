"""The documentation site: it builds, covers the package, and loads nothing from other hosts."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("zensical") is None,
    reason="zensical, which builds the site, is not installed",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: FACESKD_SITE, or made from a copy of the sources, so that `site/` stays."""
    if built := os.environ.get("FACESKD_SITE"):
        return Path(built)
    folder = tmp_path_factory.mktemp("docs")
    for name in ("zensical.toml", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "docs", folder / "docs")
    for name in ("faceskd", "tools"):
        (folder / name).symlink_to(ROOT / name)
    line = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


class Loaded(HTMLParser):
    """Collects the addresses that a browser fetches by itself when it shows a page."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        address = dict(attrs).get(LOADS.get(tag, ""))
        if address and dict(attrs).get("rel") != "canonical":
            self.addresses.append(address)


def pages_of(nav):
    for entry in nav:
        values = [entry] if isinstance(entry, str) else entry.values()
        for value in values:
            yield from [value] if isinstance(value, str) else pages_of(value)


def nav():
    return set(pages_of(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))


def test_no_page_loads_anything_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert pages
    for page in pages:
        parser = Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses
        assert [a for a in parser.addresses if "//" in a] == [], page


def test_every_folder_of_the_package_has_a_page_in_the_reference():
    folders = {path.parent.name for path in (ROOT / "faceskd").glob("*/__init__.py")}
    assert {f"api/{folder}.md" for folder in folders} <= nav()


def test_the_reference_describes_each_object_once(site):
    page = (site / "api/losses/index.html").read_text(encoding="utf-8")
    assert page.count('id="faceskd.losses.reconstruction.L1Loss"') == 1
    assert 'id="faceskd.losses.L1Loss"' not in page


def test_every_page_is_in_the_menu():
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages == nav()
