"""`faceskd data verify faces=FOLDER`: are these the pictures that the models learned from?"""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.commands.data_layout import tell
from faceskd.common.config import hydra_main
from faceskd.data.layout import verify
from faceskd.data.sources import read_sources


@hydra_main("data_verify")
def main(cfg: DictConfig) -> None:
    """Compare a folder with the table; the exit status is 1 where a picture is not as it says."""
    checked = verify(cfg.faces, read_sources(cfg.table))
    raise SystemExit(tell(list(checked), cfg.report, Console()))


if __name__ == "__main__":
    main()
