"""`faceskd data layout clones=FOLDER out=FACES`: the pictures that the models learned from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import track

from faceskd.common.config import EXIT_SOME_FAILED, hydra_main
from faceskd.data.layout import OK, Checked, lay_out
from faceskd.data.sources import read_sources
from faceskd.reporting.tables import write_csv


@hydra_main("data_layout")
def main(cfg: DictConfig) -> None:
    """Write the pictures; the exit status is 1 where one is missing or has another hash."""
    sources = read_sources(cfg.table)
    done = track(lay_out(cfg.clones, cfg.out, sources), "pictures", total=len(sources))
    raise SystemExit(tell(list(done), cfg.report, Console()))


def tell(checked: Sequence[Checked], report: str | None, console: Console) -> int:
    """Print what is not as it should be, and counts; write the status of every picture.

    Returns:
        The exit status.
    """
    for one in checked:
        if one.status != OK:
            console.print(f"{one.place}: {one.status}: {one.message}", style="red", markup=False)
    counts = Counter(one.status for one in checked)
    console.print(", ".join(f"{status}: {count}" for status, count in sorted(counts.items())))
    if report is not None:
        write_csv(Path(report), [asdict(one) for one in checked])
    return 0 if set(counts) <= {OK} else EXIT_SOME_FAILED


if __name__ == "__main__":
    main()
