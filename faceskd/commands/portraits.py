"""`faceskd portraits dst=FOLDER count=240`: synthetic portraits with known landmarks."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main, to_plain


@hydra_main("portraits")
def main(cfg: DictConfig) -> None:
    """Draw the portraits that are not in the folder yet."""
    from faceskd.portraits import write_portraits

    drawn = write_portraits(**to_plain(cfg))
    Console().print(f"{cfg.dst}: {len(drawn)} portraits drawn", markup=False, highlight=False)


if __name__ == "__main__":
    main()
