"""Write the results into a page of the documentation, between two lines of the page.

The lines are comments, which readers do not see. A page may have several such places:

    <!-- results of NAME: the lines below are written by `faceskd reproduce` -->
    <!-- results of NAME: end -->
"""

import re
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from faceskd.common.errors import ConfigError
from faceskd.common.files import atomic_path, held, write_text

START = "<!-- results of {}: the lines below are written by `faceskd reproduce` -->"
END = "<!-- results of {}: end -->"
JOBS_TITLE = "## Jobs"
"""Of the last section of results.md, the commands of all jobs."""
PICTURES = "results"
WIDEST = 2400  # pixels
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)]+)\)")


def check_page(page: Path | str, name: str) -> str:
    """The text of a page with both lines for the results of this name.

    Raises:
        ConfigError: there is no such page, or one of the lines is missing.
    """
    try:
        text = Path(page).read_text(encoding="utf-8")
    except OSError:
        text = ""
    start, end = START.format(name), END.format(name)
    if not 0 <= text.find(start) < text.find(end):
        raise ConfigError(
            f"expected a page with the lines {start!r} and {end!r} at {str(page)!r}, found none: "
            "run in a clone of the repository, or give page=null"
        )
    return text


def write_page(
    page: Path | str, results: Path, name: str, places: Mapping[str, str] | None = None
) -> None:
    """Replace the text between the lines by results.md, and copy its pictures.

    Headings are one level deeper. The jobs, with their long commands, are left out. Pictures are
    reduced and written as JPEG files into the folder `results` beside the page. Other links lead
    into a folder that readers do not have: their text stays.

    Args:
        page: file to change.
        results: results.md, whose links are relative to its folder.
        name: of the results: it is in both lines, and the names of the pictures begin with it.
        places: path -> word that stands for it in the page, which is not only for this machine.

    Raises:
        ConfigError: see `check_page`.
    """
    page = Path(page)
    with held(page.with_name(f".{page.name}.lock"), on_busy=lambda: None):
        write_text(page, _with_results(page, results, name, places or {}))


def _with_results(page: Path, results: Path, name: str, places: Mapping[str, str]) -> str:
    """The text of the page with the results; their pictures are written."""
    text = check_page(page, name)
    start, end = START.format(name), END.format(name)

    def link(found: re.Match[str]) -> str:
        mark, label, target = found.groups()
        if not target.endswith(".png"):
            return found[0] if "://" in target else label
        file = f"{name}-{target.removesuffix('.png').replace('/', '-')}.jpg"
        with Image.open(results.parent / target) as picture:
            picture.thumbnail((WIDEST, picture.height))
            with atomic_path(page.parent / PICTURES / file) as temporary:
                picture.convert("RGB").save(temporary, quality=85)
        return f"{mark}[{label}]({PICTURES}/{file})"

    shown = results.read_text(encoding="utf-8").split(f"\n{JOBS_TITLE}\n")[0]
    content = LINK.sub(link, shown)
    content = re.sub(r"^#", "##", content, flags=re.M)
    for path, word in sorted(places.items(), reverse=True):  # the inner of two first
        content = re.sub(rf"(?<![\w./-]){re.escape(path)}(?![\w.-])", word, content)
    before, rest = text.split(start, 1)
    after = rest.split(end, 1)[1]
    return f"{before}{start}\n\n{content.strip()}\n\n{end}{after}"
