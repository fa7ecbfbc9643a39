"""`faceskd random_dictionary like=FILE out=FILE`: a dictionary of random atoms."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main


@hydra_main("random_dictionary")
def main(cfg: DictConfig) -> None:
    """Write the dictionary and say where it is."""
    from faceskd.models.dictionary import Dictionary

    Dictionary.load(cfg.like).randomised(seed=cfg.seed).save(cfg.out)
    Console().print(f"dictionary: {cfg.out}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
