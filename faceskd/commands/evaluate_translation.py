"""`faceskd evaluate translation weights=FILE a=DAY b=NIGHT out=DIR`: compare with the truth."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main, to_plain


@hydra_main("evaluate_translation")
def main(cfg: DictConfig) -> None:
    """Measure the translation of pictures, write a report and print the table."""
    from faceskd.evaluation.translation import evaluate_translation
    from faceskd.reporting.tables import rich_table

    rows = evaluate_translation(**to_plain(cfg))
    console = Console()
    console.print(rich_table(rows))
    console.print(
        f"report: {cfg.out}/translation.md", markup=False, highlight=False, soft_wrap=True
    )


if __name__ == "__main__":
    main()
