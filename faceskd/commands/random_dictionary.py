"""`faceskd random_dictionary like=FILE out=FILE`: random atoms, for the ablation."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import hydra_main, to_plain


@hydra_main("random_dictionary")
def main(cfg: DictConfig) -> None:
    """Write the dictionary and say where it is."""
    from faceskd.dictionary.random_atoms import write_random_dictionary

    write_random_dictionary(**to_plain(cfg))
    Console().print(f"dictionary: {cfg.out}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
