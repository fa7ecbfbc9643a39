"""Networks between two trainings."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.models.lite import Lite
from faceskd.models.weights import load_network, read_metadata, save_network

TOOL = Path(__file__).parents[2] / "tools" / "interpolate_weights.py"
interpolate = runpy.run_path(str(TOOL))["interpolate"]


def config(width: int) -> dict[str, Any]:
    return {
        "_target_": "faceskd.models.lite.Lite",
        "width": width,
        "blocks": 1,
        "stage_widths": [8, 8, 8],
    }


def saved(path: Path, seed: int, width: int = 8) -> Path:
    torch.manual_seed(seed)
    network = Lite(**{key: value for key, value in config(width).items() if key != "_target_"})
    save_network(path, network, config(width), {"name": path.stem})
    return path


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    return saved(tmp_path / "first.safetensors", 0), saved(tmp_path / "second.safetensors", 1)


def test_every_weight_lies_between(two: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    interpolate(*two, share=0.25, out=out)
    first, second, between = (load_network(path).state_dict() for path in (*two, out))
    for name, value in between.items():
        torch.testing.assert_close(value, 0.75 * first[name] + 0.25 * second[name])
    assert read_metadata(out)["interpolated"] == {"first": "first", "share_of_second": 0.25}


@pytest.mark.parametrize("share", [0, 1])
def test_its_ends_are_the_two(share: int, two: tuple[Path, Path], tmp_path: Path) -> None:
    interpolate(*two, share=share, out=tmp_path / "out.safetensors")
    lr = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(
        load_network(tmp_path / "out.safetensors")(lr), load_network(two[share])(lr)
    )


def test_two_architectures_and_shares_beyond_are_refused(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    wide = saved(tmp_path / "wide.safetensors", 0, width=16)
    with pytest.raises(WeightsError, match="one architecture, got those of two"):
        interpolate(two[0], wide, share=0.5, out=tmp_path / "out.safetensors")
    with pytest.raises(ConfigError, match="share"):
        interpolate(*two, share=1.5, out=tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
