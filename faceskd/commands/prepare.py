"""`faceskd prepare src=PHOTOS dst=FACES`: the aligned faces of a folder of photos."""

import sys

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from faceskd.common.config import EXIT_SOME_FAILED, hydra_main, instantiate, to_plain
from faceskd.common.stopping import EXIT_STOPPED, terminating_as_interrupted
from faceskd.data.picture import FAILURES
from faceskd.data.prepare import Summary, prepare


def show(summary: Summary, console: Console) -> None:
    """Print the number of files with each status, and every file that could not be prepared."""
    table = Table("status", "count")
    for status, count in sorted(summary.statuses.items()):
        table.add_row(status, str(count))
    console.print(table)
    splits = ", ".join(f"{split} {count}" for split, count in sorted(summary.splits.items()))
    console.print(f"faces: {splits or 'none'}; {summary.resumed} files were finished before")
    for record in summary.records:
        if record.status in FAILURES:
            console.print(f"{record.source}: {record.message}", style="red", markup=False)


@hydra_main("prepare")
def main(cfg: DictConfig) -> None:
    """Prepare faces. The exit status is 1 if an image could not be read or no face was found."""
    settings = to_plain(cfg)
    detector = instantiate(settings.pop("landmarks"))
    crop = instantiate(settings.pop("crop"))
    try:
        with terminating_as_interrupted():
            summary = prepare(**settings, detector=detector, crop=crop)
    except KeyboardInterrupt:
        Console(stderr=True).print("stopped; run the same command again to continue")
        sys.exit(EXIT_STOPPED)
    show(summary, Console())
    if summary.failed:
        sys.exit(EXIT_SOME_FAILED)


if __name__ == "__main__":
    main()
