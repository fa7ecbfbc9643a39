"""`faceskd train experiment=student_mskd data.faces=DIR engine.teacher=FILE`."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import EXIT_UNFINISHED, hydra_main


@hydra_main("train")
def main(cfg: DictConfig) -> float | None:
    """Train a network; return the metric that a sweep optimises.

    The exit status is 75 if `trainer.max_time` was reached before the last step. Running the same
    command again resumes the training.
    """
    from faceskd.engine.training import train

    trained = train(cfg)
    if trained.weights is None:
        Console(stderr=True, soft_wrap=True).print(
            f"the time limit was reached after {trained.steps} of {trained.planned_steps} steps: "
            "run the same command again to resume; there is no weights file yet",
            style="yellow", markup=False, highlight=False,
        )  # fmt: skip
        raise SystemExit(EXIT_UNFINISHED)
    console = Console()
    for name, value in trained.metrics.items():
        if name.startswith("val/"):
            console.print(f"{name:>24} {value:.4f}", highlight=False)
    console.print(f"weights: {trained.weights}", markup=False, highlight=False, soft_wrap=True)
    return trained.metrics.get(cfg.optimized_metric)


if __name__ == "__main__":
    main()
