"""`faceskd dictionary faces=FACES encoder=quarter`: dictionaries of facial components."""

from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from faceskd.common.config import hydra_main, instantiate, to_plain
from faceskd.common.errors import ConfigError
from faceskd.common.files import check_no_folder


@hydra_main("dictionary")
def main(cfg: DictConfig) -> None:
    """Build a dictionary; print the number of members of each cluster."""
    from faceskd.common.machine import peak_memory_mib, set_threads
    from faceskd.dictionary.build import BuildSettings, build_dictionary
    from faceskd.dictionary.contact_sheet import write_contact_sheets

    if cfg.encoder.weights is None:
        raise ConfigError(
            "expected an encoder with weights, got random ones: give encoder.weights=FILE, made by "
            "`faceskd train experiment=encoder`, or FACESKD_WEIGHTS, or encoder.weights=torchvision"
        )
    check_no_folder(out=cfg.out)
    set_threads(cfg.threads)
    options = to_plain(cfg)
    settings = BuildSettings(**{name: options[name] for name in BuildSettings.__annotations__})
    encoder = instantiate(cfg.encoder)
    built = build_dictionary(
        cfg.faces, encoder, cfg.out, settings,
        split=cfg.split, keep_work=cfg.keep_work, extend=cfg.extend,
    )  # fmt: skip
    if cfg.contact_sheets:
        write_contact_sheets(built, cfg.faces, Path(cfg.out).with_suffix(".sheets"))
    table = Table("atoms", "members: least", "median", "most", "inertia", "revived")
    for key, clusters in built.clusters.items():
        counts = sorted(clusters.counts.tolist())
        numbers = (counts[0], counts[len(counts) // 2], counts[-1])
        revived = str(clusters.revived)
        table.add_row(key, *map(str, numbers), f"{clusters.inertia:.4g}", revived)
    console = Console()
    console.print(table)
    memory = f"peak memory {peak_memory_mib():.0f} MiB"
    console.print(f"{cfg.out}: {memory}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
