"""Write folders of drawn landscapes, one for each domain."""

import csv
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image
from rich.progress import track

from faceskd.common.checks import check_whole, check_whole_or_none
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import atomic_path, make_folder
from faceskd.common.processes import map_in_processes, usable_cpus
from faceskd.landscapes.render import SMALLEST, render_landscape
from faceskd.landscapes.scene import SEASONS, Season, sample_scene

TABLE = "landscapes.csv"
DOMAINS: dict[str, tuple[Season | None, bool]] = {
    "day": (None, False),
    "night": (None, True),
    **{season: (season, False) for season in SEASONS},
}
"""Name of a folder -> season (None: the scene's own) and whether it is night."""
SCENES_PER_SEED = 1_000_000
FIRST_VAL_SCENE = 900_000
Row = tuple[str, str, str, str, str, str]
_HEADER = ("file", "domain", "scene", "season", "time", "size")


def write_landscapes(
    dst: Path | str,
    *,
    count: int,
    val_count: int = 20,
    seed: int = 0,
    size: int = 256,
    processes: int | None = None,
) -> list[Path]:
    """Draw landscapes to `dst/train/<domain>` and `dst/val/<domain>`, for every domain.

    The domains are day, night, spring, summer, autumn and winter. In `train`, no scene is in two
    domains, as in unpaired photos. In `val`, files of the same name show the same scene, so that a
    translation can be compared with the truth. `dst/landscapes.csv` lists file, domain, number of
    the scene, season, time and size. Existing files are kept. So an interrupted run resumes, and
    larger counts add landscapes to the folder.

    Args:
        dst: folder to write to.
        count: training landscapes of each domain, 1 to 150,000.
        val_count: validation landscapes of each domain, 0 to 100,000.
        seed: seed; other seeds give other scenes.
        size: side in pixels, at least 64.
        processes: number of processes; None for one per processor.

    Returns:
        The files that this call drew.

    Raises:
        ConfigError: a number is outside its range.
        FaceskdError: the folder cannot be written to, or has landscapes of another seed or size.
    """
    check_whole(1, count=count)
    check_whole_or_none(1, processes=processes)
    check_whole(0, val_count=val_count, seed=seed)
    check_whole(SMALLEST, size=size)
    if len(DOMAINS) * count > FIRST_VAL_SCENE or val_count > SCENES_PER_SEED - FIRST_VAL_SCENE:
        raise ConfigError(
            f"expected count up to 150000 and val_count up to 100000, got {count} and {val_count}"
        )
    dst = make_folder(dst)
    rows = _rows(count, val_count, seed, size)
    _write_table(dst / TABLE, rows)
    todo = [row for row in rows if not (dst / row[0]).is_file()]
    workers = min(processes or usable_cpus(), len(todo))
    drawn = map_in_processes(partial(_draw_file, dst=dst), todo, workers)
    return list(track(drawn, "landscapes", total=len(todo), disable=not todo))


def _rows(count: int, val_count: int, seed: int, size: int) -> list[Row]:
    first = seed * SCENES_PER_SEED
    rows: list[Row] = []
    for place, (domain, (season, night)) in enumerate(DOMAINS.items()):
        scenes = {"train": range(first + place, first + len(DOMAINS) * count, len(DOMAINS))}
        scenes["val"] = range(first + FIRST_VAL_SCENE, first + FIRST_VAL_SCENE + val_count)
        for split, numbers in scenes.items():
            for index, number in enumerate(numbers):
                file = f"{split}/{domain}/landscape-{index:05d}.png"
                shown = season or sample_scene(number).season
                time = "night" if night else "day"
                rows.append((file, domain, str(number), shown, time, str(size)))
    return rows


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write the table before any landscape, so that later calls can check their settings."""
    kept = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            kept = {row[0]: tuple(row) for row in list(csv.reader(file))[1:] if row}
    table = {row[0]: row for row in rows}
    if any(kept[name] != table[name] for name in kept.keys() & table.keys()):
        raise FaceskdError(
            f"expected an empty folder, or landscapes of the same seed and size; {str(path)!r} "
            "lists others: use another folder"
        )
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        writer.writerows(row for _, row in sorted((kept | table).items()))


def _draw_file(row: Row, *, dst: Path) -> Path:
    file, domain, number, _, _, size = row
    season, night = DOMAINS[domain]
    picture = render_landscape(int(number), season=season, night=night, size=int(size))
    path = dst / file
    with atomic_path(path) as temporary:  # not by `faceskd.common.images`: workers need no PyTorch
        Image.fromarray(picture).save(temporary, compress_level=3)
    return path
