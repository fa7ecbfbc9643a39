"""A tiny encoder, and a dictionary that it built from prepared faces."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from faceskd.dictionary import build as build_dictionary
from faceskd.dictionary.build import BuildSettings, Built
from faceskd.faces.components import COMPONENTS
from faceskd.models import VGG19, FeatureInfo
from faceskd.models.vgg import DICTIONARY_TAPS
from faceskd.models.vgg_layers import WIDTH_FACTORS, conv_names

K = 3
SETTINGS = BuildSettings(atoms=K, initialisations=1, passes=1, iterations=3, batch_size=5, limit=12)
INFOS = [FeatureInfo(64 * WIDTH_FACTORS[b], 2**b) for b in (1, 2, 3, 4)]
KEYS = [f"{tap}/{component}" for tap in DICTIONARY_TAPS for component in COMPONENTS]
LAYERS = conv_names()
"""Convolutions of VGG-19, by their names."""

Build = Callable[..., Built]


def encoder() -> VGG19:
    torch.manual_seed(0)
    return VGG19(width=1, weights="random")


@pytest.fixture(scope="session")
def built(prepared_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Path]:
    out = tmp_path_factory.mktemp("built") / "d.safetensors"
    return build_dictionary.build_dictionary(prepared_faces, encoder(), out, SETTINGS), out


@pytest.fixture
def build(prepared_faces: Path, tmp_path: Path) -> Build:
    def run(name: str = "d", settings: BuildSettings = SETTINGS, **options: object) -> Built:
        out = tmp_path / f"{name}.safetensors"
        return build_dictionary.build_dictionary(
            prepared_faces, encoder(), out, settings, **options
        )

    return run


def content(path: Path) -> bytes:
    """Of all atoms: the metadata holds the memory that a run took."""
    return b"".join(value.numpy().tobytes() for _, value in sorted(load_file(path).items()))
