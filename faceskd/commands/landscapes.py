"""`faceskd landscapes dst=FOLDER count=100`: the same scenes in every season, by day and night."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main, to_plain


@hydra_main("landscapes")
def main(cfg: DictConfig) -> None:
    """Draw the landscapes that are not in the folder yet."""
    from faceskd.landscapes import write_landscapes

    drawn = write_landscapes(**to_plain(cfg))
    Console().print(f"{cfg.dst}: {len(drawn)} landscapes drawn", markup=False, highlight=False)


if __name__ == "__main__":
    main()
