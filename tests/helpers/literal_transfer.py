"""What a dictionary's lookup and its boxes do, in literal form."""

import numpy as np
import torch
from torch import Tensor

from faceskd.models.transfer import EPS


def literal_scores(component: Tensor, atoms: Tensor) -> np.ndarray:
    """<F, AdaIN(d_k, F)> of every component and atom in float64, channel by channel: (B, K)."""
    scores = np.zeros((len(component), len(atoms)))
    for b, f in enumerate(component.double().numpy()):
        for k, d in enumerate(atoms.double().numpy()):
            for f_c, d_c in zip(f, d, strict=True):
                normalised = (d_c - d_c.mean()) / np.sqrt(d_c.var() + EPS)
                scores[b, k] += (f_c * (normalised * np.sqrt(f_c.var() + EPS) + f_c.mean())).sum()
    return scores


def ramp(height: int, width: int) -> Tensor:
    """(1, 2, H, W): x and y of every cell's centre."""
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack((x, y))[None]


def changed(out: Tensor, features: Tensor) -> Tensor:
    return (out != features).any(1)
