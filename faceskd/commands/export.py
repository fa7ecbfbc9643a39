"""`faceskd export format=NAME weights=FILE out=FILE`: a network in another format."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console

from faceskd.common.config import given_options, hydra_main, instantiate, listed, to_plain
from faceskd.common.errors import ConfigError
from faceskd.data.dataset import FaceDataset
from faceskd.export import export_network
from faceskd.models.weights import load_network, read_weights
from faceskd.pretrained import weights_path


@hydra_main("export")
def main(cfg: DictConfig) -> None:
    """Export a network, compare the file with PyTorch, and print the result."""
    _refuse_without_effect(cfg)
    weights = weights_path(cfg.weights)
    if Path(cfg.out).resolve() == Path(weights).resolve():
        raise ConfigError(f"expected out as another file than weights, got {cfg.out!r} for both")
    stored = read_weights(weights)
    network = load_network(weights)
    faces = None
    if cfg.faces is not None:
        degradation = instantiate(cfg.degradation)
        faces = FaceDataset(cfg.faces, cfg.split, degradation, seed=cfg.seed, size=network.size)
    card = export_network(
        network,
        cfg.out,
        backend=instantiate(cfg.format),
        model_config=stored.config,
        training=stored.metadata,
        faces=faces,
        batch_sizes=listed(to_plain(cfg)["batch_sizes"]),
        tolerance=cfg.tolerance,
    )
    console = Console(stderr=True, soft_wrap=True)
    for line in summary(cfg.out, card):
        console.print(line, markup=False)


def _refuse_without_effect(cfg: DictConfig) -> None:
    """Refuse options of the command line that this export does not use."""
    calibrates, given = "calibration" in list(cfg.format), given_options("export")
    idle = [] if calibrates else ["calibration"]
    if cfg.faces is None:
        idle += ["split"] if calibrates else ["split", "degradation", "seed"]
    for name in idle:
        if name in given:
            what_to_do = "format=int8" if name == "calibration" else "faces=FACES"
            raise ConfigError(f"{given[name]!r} has no effect: leave it out, or add {what_to_do}")


def summary(out: str, card: dict[str, Any]) -> list[str]:
    """A summary of the card: size, difference from PyTorch, and quality if it was measured."""
    parity, quality = card["parity"], card["quality"]
    lines = [
        f"{out}: {card['bytes'] / 1e6:.1f} MB, off by at most "
        f"{parity['max_abs_difference']:.2g} (accepted {parity['tolerance']:.2g}) at the batch "
        f"sizes {list(parity['batch_sizes'])}"
    ]
    if quality is not None:
        changes = [
            f"{metric} {quality['pytorch'][metric]:.4g} -> {quality['exported'][metric]:.4g}"
            for metric in quality["difference"]
        ]
        verdict = {True: "within limits", False: "NOT within limits", None: "limits not known"}
        lines.append(
            f"{quality['faces']} faces: {', '.join(changes)}; {quality['psnr_between_db']:.1f} dB "
            f"between the outputs: {verdict[quality['within_limits']]}"
        )
        if quality["why"]:
            lines.append(quality["why"])
    return lines


if __name__ == "__main__":
    main()
