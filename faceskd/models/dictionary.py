"""A dictionary of facial components: K atoms for each component and scale, in one file.

These are DFDNet's dictionaries, at 256 or 512 px. A component of a face is cut out of one VGG-19
feature map and resized to a fixed size. The atoms are the K-means cluster centres of many faces;
see `faceskd.dictionary.kmeans`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from faceskd.common import files
from faceskd.common.errors import DictionaryError, WeightsError
from faceskd.common.tensors import check_finite, read_safetensors, write_safetensors
from faceskd.faces.components import COMPONENTS
from faceskd.models.features import FeatureInfo

COMPONENT_SIZES = {"left_eye": 40, "right_eye": 40, "nose": 25, "mouth": 55}
"""Sides of the components in a 256 px face, in px: half of DFDNet's, which are for 512 px."""
FACE_SIZE = 256
MIN_ATOM_SIZE = 3
FORMAT = "faceskd-dictionary-1"


def atom_size(component: str, stride: int, face_size: int = FACE_SIZE) -> int:
    """Side of an atom in cells, at least 3; a nose at stride 16 would otherwise be one cell.

    Examples:
        >>> [atom_size(component, 2, 512) for component in COMPONENT_SIZES]
        [40, 40, 25, 55]
    """
    return max(MIN_ATOM_SIZE, COMPONENT_SIZES[component] * face_size // FACE_SIZE // stride)


def atom_shape(
    component: str, info: FeatureInfo, face_size: int = FACE_SIZE
) -> tuple[int, int, int]:
    """Shape (C, S, S) of the atoms of a component in a feature map of a face of `face_size` px.

    Examples:
        >>> from faceskd.models import FeatureInfo
        >>> atom_shape("mouth", FeatureInfo(128, 2))
        (128, 27, 27)
    """
    size = atom_size(component, info.stride, face_size)
    return (info.channels, size, size)


@dataclass(frozen=True)
class Dictionary:
    """Atoms for each tap and component, with their origin.

    Attributes:
        atoms: "tap/component" -> (K, C, S, S), float16.
        encoder: fingerprint of the encoder that built it; empty for random atoms.
        provenance: faces, taps, K, seed, inertia, members of each atom, library versions.
        sha256: checksum of the file, if the dictionary was read from one.
    """

    atoms: Mapping[str, Tensor]
    encoder: str = ""
    provenance: dict = field(default_factory=dict)
    sha256: str = ""

    def atoms_of(self, tap: str) -> dict[str, Tensor]:
        """The atoms of every component at one tap."""
        return {component: self.atoms[f"{tap}/{component}"] for component in COMPONENTS}

    def check_encoder(
        self,
        taps: Sequence[str],
        infos: Sequence[FeatureInfo],
        fingerprint: str | None = None,
        *,
        face_size: int = FACE_SIZE,
    ) -> None:
        """Raise a DictionaryError unless the atoms fit an encoder's taps, channels and faces.

        With a fingerprint, it must also be the encoder that built them; random atoms fit any.
        """
        for tap, info in zip(taps, infos, strict=True):
            for component in COMPONENTS:
                key, expected = f"{tap}/{component}", atom_shape(component, info, face_size)
                if key not in self.atoms:
                    raise DictionaryError(
                        f"expected a dictionary with atoms of {key}, got {sorted(self.atoms)}"
                    )
                came = tuple(self.atoms[key].shape[1:])
                if came != expected:
                    raise DictionaryError(
                        f"expected atoms of {expected} for {key}, got {came}: the dictionary was "
                        "built with an encoder of another width, or on faces of another size"
                    )
        if fingerprint is not None and self.encoder not in ("", fingerprint):
            raise DictionaryError(
                f"the dictionary was built with the encoder {self.encoder}, but this encoder is "
                f"{fingerprint}: use the encoder that built it, or build it again with this one"
            )

    @staticmethod
    def random(
        taps: Sequence[str],
        infos: Sequence[FeatureInfo],
        *,
        atoms: int,
        seed: int = 0,
        face_size: int = FACE_SIZE,
    ) -> "Dictionary":
        """K atoms of normal noise for each tap and component of an encoder, for timing."""
        shapes = {
            f"{tap}/{component}": (atoms, *atom_shape(component, info, face_size))
            for tap, info in zip(taps, infos, strict=True)
            for component in COMPONENTS
        }
        provenance = {"atoms": atoms, "seed": seed, "source": "random"}
        return Dictionary(_noise(shapes, seed), provenance=provenance)

    def randomised(self, *, seed: int = 0) -> "Dictionary":
        """Normal noise in place of every atom; same encoder, shapes and number of atoms.

        The transfer gives an atom the mean and standard deviation of the component that it
        replaces, so that the scale of the noise has no effect.
        """
        shapes = {key: tuple(value.shape) for key, value in sorted(self.atoms.items())}
        provenance = {"source": "random", "seed": seed, "like": self.sha256}
        return replace(self, atoms=_noise(shapes, seed), provenance=provenance, sha256="")

    def extended(self, other: "Dictionary") -> "Dictionary":
        """The atoms of both, this dictionary's first: K becomes the sum.

        A teacher takes it as it is, because its weights do not depend on K (asked for in DFDNet's
        issue 67).

        Raises:
            DictionaryError: they were built with different encoders, or for other components.
        """
        if self.encoder != other.encoder or self.atoms.keys() != other.atoms.keys():
            raise DictionaryError(
                f"expected atoms of the encoder {self.encoder or 'none'}, got {other.encoder}: "
                "extend a dictionary with the encoder that built it"
            )
        atoms = {key: torch.cat((value, other.atoms[key])) for key, value in self.atoms.items()}
        provenance = {
            "source": "extended",
            "atoms": len(next(iter(atoms.values()))),
            "first": self.provenance | {"sha256": self.sha256},
            "added": other.provenance,
        }
        return Dictionary(atoms, self.encoder, provenance)

    def extends(self, sha256: str) -> bool:
        """Whether it is the dictionary with this checksum, or was made from it by `extended`.

        Examples:
            >>> first = Dictionary({}, sha256="a")
            >>> second = Dictionary({}, provenance={"first": {"sha256": "a"}}, sha256="b")
            >>> second.extends("a"), first.extends("b")
            (True, False)
        """
        found: dict | None = self.provenance | {"sha256": self.sha256}
        while found is not None and found["sha256"] != sha256:
            found = found.get("first")
        return found is not None

    def save(self, path: Path | str) -> None:
        """Write one safetensors file atomically, with the provenance in its metadata."""
        metadata = {
            "format": FORMAT,
            "encoder": self.encoder,
            "provenance": json.dumps(self.provenance),
        }
        tensors = {key: value.half().contiguous() for key, value in self.atoms.items()}
        with files.atomic_path(path) as temporary:
            write_safetensors(temporary, tensors, metadata)

    @staticmethod
    def load(path: Path | str) -> "Dictionary":
        """Read a dictionary.

        Raises:
            DictionaryError: the file is missing, damaged, something else, or has numbers that are
                not finite.
        """
        path = Path(path)
        if not path.is_file():
            raise DictionaryError(
                f"no dictionary at {str(path)!r}: build it with `faceskd dictionary`"
            )
        try:
            atoms, metadata = read_safetensors(path)
            if metadata.get("format") == FORMAT:
                check_finite(atoms, path)
        except WeightsError as error:
            raise DictionaryError(f"the dictionary {str(path)!r} is damaged: {error}") from error
        if metadata.get("format") != FORMAT:
            raise DictionaryError(
                f"expected a dictionary of the format {FORMAT} in {str(path)!r}, got "
                f"{metadata.get('format', 'another safetensors file')!r}"
            )
        provenance = json.loads(metadata["provenance"])
        return Dictionary(atoms, metadata["encoder"], provenance, files.sha256(path))


def _noise(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Standard normal float16 values of these shapes, drawn in their order."""
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(shape, generator=generator).half() for key, shape in shapes.items()}
