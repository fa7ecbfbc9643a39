"""Smooth images, and noise on them."""

import torch


def smooth_images(count: int, side: int, seed: int = 0) -> torch.Tensor:
    """Images with structure at every scale, in 8-bit levels."""
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(count, 3, side, side)
    for cells in (4, 16, side // 2):
        noise = torch.rand(count, 3, cells, cells, generator=generator)
        total += torch.nn.functional.interpolate(noise, side, mode="bicubic")
    return total.div(3).clamp(0, 1).mul(255).round().div(255)


def noisy(images: torch.Tensor, sigma: float | torch.Tensor = 0.05, seed: int = 1) -> torch.Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return (images + sigma * noise).clamp(0, 1)
