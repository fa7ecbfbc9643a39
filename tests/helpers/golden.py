"""Figures that were stored once, of networks, dictionaries and photographs.

`pytest tests/pretrained --update-golden` stores them anew; look at the difference before it is
committed, since a change means that a shipped model makes other faces than it did.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faceskd import pretrained
from faceskd.data.degradation import Eq8
from faceskd.pretrained.golden import (
    differences,
    golden_faces,
    golden_path,
    read_golden,
    write_golden,
)

FOLDER = Path(__file__).parents[1] / "assets" / "golden"
PHOTOGRAPHS = "photographs"


@dataclass(frozen=True)
class Golden:
    """Compares what was measured with the stored figures, or stores them."""

    update: bool = False

    @staticmethod
    def path(name: str) -> Path:
        """Figures of networks are part of the package; others are in tests/assets."""
        of_tests = FOLDER / f"{name}.json"
        return of_tests if of_tests.is_file() else golden_path(pretrained.FOLDER, name)

    @classmethod
    def stored(cls, name: str) -> dict[str, dict[str, Any]]:
        """The rows of a table, each with its figures."""
        return read_golden(cls.path(name))

    def check(
        self, name: str, measured: Mapping[str, Mapping[str, Any]], within: Mapping[str, float]
    ) -> None:
        """Compare a table, or some rows and figures of it.

        Args:
            name: of the table.
            measured: row -> figure -> value.
            within: figure -> largest difference that is still the same.
        """
        if self.update:
            write_golden(self.path(name), measured)
        found = list(differences(measured, self.stored(name), within))
        assert not found, f"{name}: {'; '.join(found[:5])}"


def degraded_faces() -> np.ndarray:
    """The eight faces through eq. 8, each with its number as seed; side by side, (32, 256, 3)."""
    faces = golden_faces().hr
    return np.hstack([Eq8()(hr, np.random.default_rng(seed)) for seed, hr in enumerate(faces)])
