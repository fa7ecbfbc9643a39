"""`faceskd train experiment=student_mskd data.faces=DIR engine.teacher=FILE`."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main


@hydra_main("train")
def main(cfg: DictConfig) -> float | None:
    """Train a network; returns the metric that a sweep optimises."""
    from faceskd.engine.training import train

    trained = train(cfg)
    console = Console()
    for name, value in trained.metrics.items():
        if name.startswith("val/"):
            console.print(f"{name:>24} {value:.4f}", highlight=False)
    console.print(f"weights: {trained.weights}", markup=False, highlight=False, soft_wrap=True)
    return trained.metrics.get(cfg.optimized_metric)


if __name__ == "__main__":
    main()
