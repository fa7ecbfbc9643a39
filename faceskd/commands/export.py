"""`faceskd export weights=FILE out=FILE`: write a network for another runtime."""

from omegaconf import DictConfig
from rich.console import Console

from faceskd.config import hydra_main, instantiate
from faceskd.export import export_network
from faceskd.weights import load_network, read_weights


@hydra_main("export")
def main(cfg: DictConfig) -> None:
    """Export the network of `conf/export.yaml`."""
    stored = read_weights(cfg.weights)
    card = export_network(
        load_network(cfg.weights),
        cfg.out,
        backend=instantiate(cfg.export),
        model_config=stored.config,
        training=stored.metadata,
        faces=cfg.faces,
        batch_sizes=cfg.batch_sizes,
        tolerance=cfg.tolerance,
    )
    parity = card["parity"]
    Console(stderr=True, soft_wrap=True).print(
        f"{cfg.out}: {card['bytes'] / 1e6:.1f} MB, off by at most "
        f"{parity['max_abs_difference']:.2g} (accepted {parity['tolerance']:.2g}) at the batch "
        f"sizes {list(parity['batch_sizes'])}",
        markup=False,
    )


if __name__ == "__main__":
    main()
