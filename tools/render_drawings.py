"""Render SVG drawings to PNG files, to train `experiment=drawing` on.

    python tools/render_drawings.py /usr/share/openclipart/svg DRAWINGS --count 1600

Debian's package `openclipart-svg` (public domain) has the drawings, `librsvg2-bin` the renderer.
They are drawn on white. Of each ten, one goes to DRAWINGS/val, one to DRAWINGS/test, the others to
DRAWINGS/train. Drawings that cannot be rendered, or are almost empty, are left out and counted.
A second run continues: DRAWINGS/drawings.txt says which drawing each file is. With another choice
of drawings, it refuses to.
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from faceskd.common.errors import ConfigError, ImageError
from faceskd.common.files import atomic_path, write_text
from faceskd.common.images import read_image

SIDE = 768
"""Length of the longer side, px."""

SECONDS = 20
TABLE = "drawings.txt"
LEAST_DEVIATION = 8.0
"""Standard deviation of the grey levels below which a drawing counts as empty."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("src", type=Path)
    parser.add_argument("dst", type=Path)
    parser.add_argument("--count", type=int, default=1600, help="drawings to try")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = sorted(given.src.rglob("*.svg"))
    if not found:
        sys.exit(f"expected drawings (.svg) in {given.src}, found none")
    order = np.random.default_rng(given.seed).permutation(len(found))[: given.count]
    try:
        note_drawings(given.dst / TABLE, [found[index] for index in order])
    except ConfigError as error:
        sys.exit(str(error))
    counts: Counter[str] = Counter()
    for number, index in enumerate(track(order, "drawings")):
        split = {8: "val", 9: "test"}.get(number % 10, "train")
        path = given.dst / split / f"{number:05d}.png"
        counts[split if path.is_file() or render(found[index], path) else "left out"] += 1
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    return 0


def note_drawings(path: Path, drawings: Sequence[Path]) -> None:
    """Write the drawings of a run into the table, one a line in the order of their numbers.

    Raises:
        ConfigError: the table has others.
    """
    names = [str(drawing.resolve()) for drawing in drawings]
    noted = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    if any(old != new for old, new in zip(noted, names, strict=False)):
        raise ConfigError(f"expected an empty folder, got other drawings in {str(path.parent)!r}")
    if len(names) > len(noted):
        write_text(path, "\n".join(names) + "\n")


def render(source: Path, path: Path) -> bool:
    """Render a drawing; False if that fails or it shows next to nothing."""
    sides = ["--width", str(SIDE), "--height", str(SIDE), "--keep-aspect-ratio"]
    with atomic_path(path) as temporary:
        command = ["rsvg-convert", *sides, "--background-color", "white", "-o", str(temporary)]
        try:
            subprocess.run(
                [*command, str(source)], check=True, capture_output=True, timeout=SECONDS
            )
            shown = read_image(temporary).std() >= LEAST_DEVIATION
        except (subprocess.SubprocessError, ImageError):
            shown = False
    if not shown:
        path.unlink(missing_ok=True)
    return shown


if __name__ == "__main__":
    sys.exit(main())
