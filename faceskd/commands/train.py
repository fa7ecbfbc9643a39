"""`faceskd train experiment=student_mskd data.faces=DIR engine.teacher=FILE`."""

from collections.abc import Collection

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import EXIT_UNFINISHED, hydra_main, is_sweep


@hydra_main("train")
def main(cfg: DictConfig) -> float | None:
    """Train a network; return the metric that a sweep optimises, if it was measured.

    The exit status is 75 if `trainer.max_time` was reached before the last step. Running the same
    command again resumes the training.
    """
    from faceskd.engine.training import train

    trained = train(cfg)
    if trained.profiled:
        return None
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
    _check_optimized(cfg.optimized_metric, trained.metrics)
    return trained.metrics.get(cfg.optimized_metric)


def _check_optimized(metric: str, metrics: Collection[str]) -> None:
    """Say if a sweep gets no figure to optimise. Others need none, so it is no error."""
    from faceskd.engine.messages import WARNING, say

    if is_sweep() and metrics and metric not in metrics:
        measured = ", ".join(name for name in metrics if name.startswith("val/"))
        say(
            f"the sweep optimises nothing: expected optimized_metric as one of {measured}, "
            f"got {metric}",
            WARNING,
        )


if __name__ == "__main__":
    main()
