"""A tiny encoder, and a dictionary that it built from prepared faces."""

from pathlib import Path

import pytest
import torch

from faceskd import build_dictionary
from faceskd.build_dictionary import BuildSettings, Built
from faceskd.components import COMPONENTS
from faceskd.models import VGG19, FeatureInfo
from faceskd.models.vgg import DICTIONARY_TAPS, WIDTH_FACTORS

K = 3
SETTINGS = BuildSettings(atoms=K, initialisations=1, passes=1, iterations=3, batch_size=5, limit=12)
INFOS = [FeatureInfo(64 * WIDTH_FACTORS[b], 2**b) for b in (1, 2, 3, 4)]
KEYS = [f"{tap}/{component}" for tap in DICTIONARY_TAPS for component in COMPONENTS]


def encoder() -> VGG19:
    torch.manual_seed(0)
    return VGG19(width=1)


@pytest.fixture(scope="session")
def built(prepared_faces: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Path]:
    out = tmp_path_factory.mktemp("built") / "d.safetensors"
    return build_dictionary.build_dictionary(prepared_faces, encoder(), out, SETTINGS), out
