"""Between two trainings of one network: its fidelity from the first, its texture from the second.

    python tools/interpolate_weights.py runs/release/lite_m/weights.safetensors \
        runs/release/lite_m_texture/weights.safetensors --share 0.9 --out lite_m.safetensors

Network interpolation (Wang et al., "ESRGAN", ECCV Workshops 2018, section 3.4): (1 - share) times
the first weights plus share times the second, for a second training that started from the first.
Measure what comes out: of students it was what both can do, of teachers not (docs/log.md).
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from faceskd.common.config import fail
from faceskd.common.errors import ConfigError, FaceskdError, WeightsError
from faceskd.models.teacher import Teacher
from faceskd.models.weights import (
    build_network,
    check_state,
    load_state,
    read_weights,
    save_network,
    without_files,
)


def interpolate(first: Path | str, second: Path | str, *, share: float, out: Path | str) -> None:
    """Write a student between two.

    Args:
        first, second: weights of one architecture.
        share: of the second, in [0, 1].

    Raises:
        ConfigError: a share outside [0, 1], or teachers: what lies between two was worse than both.
        WeightsError: a file is missing or damaged, or they are of two architectures.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"expected a share in [0, 1], got {share}")
    start, end = read_weights(first), read_weights(second)
    if start.config != end.config:
        raise WeightsError(f"{first} and {second} are of two architectures: nothing lies between")
    check_state(start.state, end.state, f"{second} has other weights than {first}")
    network = build_network(without_files(end.config))
    if isinstance(network, Teacher):
        raise ConfigError(f"expected two trainings of a student, got a teacher's: {second}")
    between = {name: _mix(value, end.state[name], share) for name, value in start.state.items()}
    load_state(network, between, f"{first} and {second}")
    note = {"first": start.metadata.get("name"), "share_of_second": share}
    save_network(out, network, end.config, {**end.metadata, "interpolated": note})


def _mix(first: Tensor, second: Tensor, share: float) -> Tensor:
    if not first.is_floating_point() or torch.equal(first, second):
        return second
    return torch.lerp(first.float(), second.float(), share)


def main() -> None:
    parser = argparse.ArgumentParser(description="Interpolate the weights of two trainings.")
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--share", type=float, required=True, help="of the second, 0 to 1")
    parser.add_argument("--out", type=Path, required=True)
    try:
        interpolate(**vars(parser.parse_args()))
    except FaceskdError as error:
        raise fail(error) from None


if __name__ == "__main__":
    main()
