"""`faceskd experiment budget=quick`: the paper's tables, every method side by side."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main, to_plain


@hydra_main("experiment")
def main(cfg: DictConfig) -> None:
    """Run what is missing; say where the tables are, and what failed."""
    from faceskd.jobs.stages import EXIT_SOME_FAILED
    from faceskd.reproduce.run import run_experiment

    console = Console()
    failures = run_experiment(to_plain(cfg), console)
    for name, why in failures.items():
        console.print(f"failed: {name}: {why}", style="bold red", markup=False)
    if cfg.only is None:
        console.print(f"results: {cfg.out}/results.md", markup=False, highlight=False)
    if failures:
        raise SystemExit(EXIT_SOME_FAILED)


if __name__ == "__main__":
    main()
