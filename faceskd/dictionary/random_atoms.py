"""A dictionary of random atoms, in the place of another one: does the dictionary matter?"""

from dataclasses import replace
from pathlib import Path

import torch

from faceskd.models.dictionary import Dictionary


def random_like(dictionary: Dictionary, *, seed: int = 0) -> Dictionary:
    """Normal noise for every atom, of the same encoder, shapes and number of atoms.

    The transfer gives an atom the mean and deviation of the component that it stands in for, so
    that the scale of the noise means nothing.
    """
    generator = torch.Generator().manual_seed(seed)
    atoms = {
        key: torch.randn(value.shape, generator=generator).half()
        for key, value in sorted(dictionary.atoms.items())
    }
    provenance = {"source": "random", "seed": seed, "like": dictionary.sha256}
    return replace(dictionary, atoms=atoms, provenance=provenance, sha256="")


def write_random_dictionary(*, like: Path | str, out: Path | str, seed: int = 0) -> None:
    """Write to `out` random atoms in the shape of the dictionary in the file `like`.

    Raises:
        DictionaryError: there is no dictionary at `like`.
    """
    random_like(Dictionary.load(like), seed=seed).save(out)
