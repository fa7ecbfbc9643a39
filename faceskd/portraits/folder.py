"""Write a folder of synthetic portraits, with train, val and test splits."""

import csv
import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from PIL import Image
from rich.progress import track

from faceskd.common.checks import are_shares, check_whole, check_whole_or_none
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.common.files import atomic_path, make_folder
from faceskd.common.processes import map_in_processes, usable_cpus
from faceskd.portraits.render import identity_name, portrait_landmarks, render_portrait

LANDMARKS = "landmarks.csv"
SPLIT_FILE = "splits.csv"
PHOTOS_PER_IDENTITY = 2
SPLITS: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
IDENTITIES_PER_SEED = 1_000_000
_HEADER = ["file", "identity", *(f"{axis}{i}" for i in range(68) for axis in "xy")]


def write_portraits(
    dst: Path | str,
    *,
    count: int,
    seed: int = 0,
    size: int = 512,
    splits: Mapping[str, float] = SPLITS,
    processes: int | None = None,
) -> list[Path]:
    """Draw `count` portraits to `dst/<split>/portrait-00012.png`, two of each person.

    No person is in two splits. `dst/splits.csv` says for `faceskd prepare` that they are drawn:
    split_file=dst/splits.csv. `dst/landmarks.csv` has the 68 exact points of each portrait, with
    the columns file, identity, x0, y0, ..., x67, y67, in pixels. Existing portraits are kept. So an
    interrupted run resumes, and a larger `count` adds portraits to the folder.

    Args:
        dst: folder to write to.
        count: number of portraits, 1 or more.
        seed: seed; other seeds give other people.
        size: side of the portraits in pixels.
        splits: share of each split; the shares add up to 1.
        processes: number of processes; None for one per processor.

    Returns:
        The files that this call drew, without those that existed before.

    Raises:
        ConfigError: a number is outside its range.
        FaceskdError: the folder cannot be written to, or has portraits of another seed, size or
            split.
    """
    dst = Path(dst)
    _check(count, seed, size, splits, processes)
    rows = _rows(count, seed, size, splits)
    make_folder(dst)
    _write_landmarks(dst / LANDMARKS, rows)
    _write_splits(dst)
    people = [_person(index, seed) for index in range(count)]
    jobs = [
        (dst / row[0], *person)
        for row, person in zip(rows, people, strict=True)
        if not (dst / row[0]).is_file()
    ]
    workers = min(processes or usable_cpus(), len(jobs))
    drawn = map_in_processes(partial(_draw_file, size=size), jobs, workers)
    for _ in track(drawn, "portraits", total=len(jobs), disable=not jobs):
        pass
    return [path for path, _, _ in jobs]


def assign_splits(identities: int, splits: Mapping[str, float]) -> list[str]:
    """The split of each person: the one that is farthest below its share.

    If people are added later, the first ones keep their splits.

    Examples:
        >>> assign_splits(7, {"train": 0.8, "val": 0.1, "test": 0.1})
        ['train', 'train', 'train', 'val', 'train', 'train', 'test']
    """
    sizes = dict.fromkeys(splits, 0)
    chosen = []
    for number in range(1, identities + 1):
        lag = {name: share * number - sizes[name] for name, share in splits.items()}
        name = max(lag, key=lambda key: round(lag[key], 9))
        sizes[name] += 1
        chosen.append(name)
    return chosen


def _check(
    count: int, seed: int, size: int, splits: Mapping[str, float], processes: int | None
) -> None:
    check_whole(1, count=count, size=size)
    check_whole(0, seed=seed)
    check_whole_or_none(1, processes=processes)
    if count > PHOTOS_PER_IDENTITY * IDENTITIES_PER_SEED:
        raise ConfigError(f"expected 1 to 2,000,000 portraits, got {count}")
    if not are_shares(splits.values()):
        raise ConfigError(f"expected splits whose shares add up to 1, got {dict(splits)}")


def _person(index: int, seed: int) -> tuple[int, int]:
    """The identity and the photo number of the portrait with this index."""
    person, photo = divmod(index, PHOTOS_PER_IDENTITY)
    return seed * IDENTITIES_PER_SEED + person, photo


def _rows(count: int, seed: int, size: int, splits: Mapping[str, float]) -> list[list[str]]:
    people = -(-count // PHOTOS_PER_IDENTITY)
    of_person = assign_splits(people, splits)
    rows = []
    for index in range(count):
        identity, photo = _person(index, seed)
        points = portrait_landmarks(identity, photo, size=size)
        file = f"{of_person[index // PHOTOS_PER_IDENTITY]}/portrait-{index:05d}.png"
        numbers = [f"{value:.3f}" for value in points.ravel().tolist()]
        rows.append([file, identity_name(identity), *numbers])
    return rows


def _write_landmarks(path: Path, rows: Sequence[list[str]]) -> None:
    """Write the table before any portrait, so that later calls can check their settings."""
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            found = list(itertools.islice(csv.reader(file), 1, None))
        if any(old != new for old, new in zip(found, rows, strict=False)):
            raise FaceskdError(
                f"expected an empty folder, or portraits of the same seed, size and splits; "
                f"{str(path)!r} lists others: use another folder"
            )
        if len(found) > len(rows):
            return
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        writer.writerows(rows)


def _write_splits(dst: Path) -> None:
    """Write the split, the person and the kind of each portrait of the table."""
    with (dst / LANDMARKS).open(newline="", encoding="utf-8") as file:
        rows = [(row["file"], row["identity"]) for row in csv.DictReader(file)]
    lines = [f"{file},{file.partition('/')[0]},{identity},drawn\n" for file, identity in rows]
    with atomic_path(dst / SPLIT_FILE) as temporary:
        temporary.write_text("source,split,identity,kind\n" + "".join(lines), encoding="utf-8")


def _draw_file(job: tuple[Path, int, int], *, size: int) -> None:
    path, identity, photo = job
    image = Image.fromarray(render_portrait(identity, photo, size=size).image)
    with atomic_path(path) as temporary:  # not by `faceskd.common.images`: workers need no PyTorch
        image.save(temporary, compress_level=3)
