"""`faceskd reproduce budget=quick`: every method of the paper and its tables."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.commands import run_command
from faceskd.common.config import hydra_main, to_plain


@hydra_main("reproduce")
def main(cfg: DictConfig) -> None:
    """Run the jobs of `conf/reproduce.yaml` and write the tables; say what failed."""
    from faceskd.reproduce.paper import reproduce

    status = reproduce(to_plain(cfg), run_command, Console())
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
