"""Which loss sees errors of identity? Follow its gradient for a few steps and measure the gain.

    python tools/probe_losses.py FACES TEACHER --face-model ONNX

FACES is a folder that `faceskd prepare` wrote, TEACHER a file of weights. For each loss of
probe_losses.yaml, the SR faces of a network take four steps along the negative gradient towards
HR. Each step changes a face by 0.6 grey levels (root mean square), in the whole face or in one
part of it. The gain in identity shows which errors the loss sees. It does not show what a network
can learn from the loss. The face-recognition network only measures; it is no loss.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table
from torch import Tensor, nn
from torch.utils.data import DataLoader

from faceskd.common.config import conf_dir, fail, instantiate, register_resolvers
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.data.dataset import FaceDataset
from faceskd.losses import InBox
from faceskd.metrics.identity import Identity
from faceskd.models.weights import load_network

STEPS = 4
STEP = 0.6 / 255
Loss = Callable[[Tensor, Tensor], Tensor]


def follow(loss: Loss, sr: Tensor, hr: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1] after `STEPS` gradient steps of size `STEP` (RMS)."""
    for _ in range(STEPS):
        point = sr.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(point, hr), point)
        length = gradient.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=1e-12)
        sr = (point.detach() - STEP * gradient / length).clamp(0, 1)
    return sr


def probe(
    network: nn.Module, faces: Iterable[Any], losses: Mapping[str, Loss], identity: Identity
) -> dict[str, Tensor]:
    """Gain of identity of each face (faces,) for each loss; "start" holds the first value."""
    figures: dict[str, list[Tensor]] = {name: [] for name in ("start", *losses)}
    for batch in track(faces, "probing"):
        hr, landmarks = batch["hr"], batch["landmarks"]
        with torch.no_grad():
            sr = network(batch["lr"], batch["boxes"]).clamp(0, 1)
        start = identity.per_image(sr, hr, landmarks)
        figures["start"].append(start)
        for name, loss in losses.items():
            moved = identity.per_image(follow(loss, sr, hr), hr, landmarks)
            figures[name].append(moved - start)
    return {name: torch.cat(values) for name, values in figures.items()}


def show(figures: dict[str, Tensor], losses: list[str], boxes: list[str]) -> None:
    """Print means and standard errors: one row for each loss, one column for each box."""
    table = Table(Column("loss", no_wrap=True), *boxes)
    for loss in losses:
        gains = [figures[f"{loss} in {box}"] for box in boxes]
        cells = [f"{g.mean():+.4f} ± {g.std() / len(g) ** 0.5:.4f}" for g in gains]
        table.add_row(loss, *cells)
    start = figures["start"]
    Console().print(f"initial identity: {start.mean():.4f}, mean of {len(start)} faces")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="Gain of identity along the gradients of losses.")
    parser.add_argument("faces", type=Path)
    parser.add_argument("weights", type=Path, help="network that makes the SR faces")
    parser.add_argument(
        "--face-model",
        type=Path,
        required=True,
        help="ONNX file, see conf/evaluate.yaml",
    )
    parser.add_argument("--dictionary", type=Path, help="dictionary file of a teacher")
    parser.add_argument("--split", default="val")
    given = parser.parse_args()
    register_resolvers()
    quarter = OmegaConf.load(conf_dir() / "encoder" / "quarter.yaml")
    probed = OmegaConf.load(Path(__file__).with_suffix(".yaml"))
    config = OmegaConf.merge({"vgg": quarter}, probed)
    try:
        if config.vgg.weights is None:
            raise ConfigError(
                "expected pretrained VGG-19 weights, got none: set FACESKD_WEIGHTS to the folder "
                "that holds vgg19_quarter_conv5_1.pth"
            )
        losses = {name: instantiate(loss) for name, loss in config.losses.items()}
        probes = {
            f"{name} in {key}": InBox(box=box, loss=loss)
            for name, loss in losses.items()
            for key, box in config.boxes.items()
        }
        degradation = instantiate(OmegaConf.load(conf_dir() / "degradation" / "paper.yaml"))
        dataset = FaceDataset(given.faces, given.split, degradation, seed=0)
        network = load_network(given.weights, given.dictionary)
        identity = Identity(given.face_model)
        figures = probe(network, DataLoader(dataset, batch_size=8), probes, identity)
    except FaceskdError as error:
        raise fail(error) from None
    show(figures, list(losses), list(config.boxes))


if __name__ == "__main__":
    main()
