"""`faceskd release photos=PHOTOS out=OUT`: train the networks that come with the package."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.commands import run_command
from faceskd.common.config import hydra_main, to_plain


@hydra_main("release")
def main(cfg: DictConfig) -> None:
    """Run the jobs of a plan (`conf/plan/`), evaluate each network, and write the summary."""
    from faceskd.reproduce.release import train_release

    status = train_release(to_plain(cfg), run_command, Console())
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
