"""A buffer of generated images, with which a discriminator is also shown earlier ones."""

import torch
from torch import Tensor


class ImageBuffer:
    """Keeps up to `size` generated images, as in Shrivastava et al., CVPR 2017, and CycleGAN.

    Args:
        size: number of images; 0: the discriminator sees the newest images only.

    Attributes:
        images: the images (C, H, W) in the buffer. They must be part of checkpoints.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def exchange(self, images: Tensor) -> Tensor:
        """The images to show to the discriminator, (B, C, H, W) -> (B, C, H, W).

        Until the buffer is full, each image is kept and returned. After that, half of the images
        are returned as they are; each of the others is swapped with a random one of the buffer.
        PyTorch's generator draws.
        """
        return torch.stack([self._exchange(image) for image in images])

    def _exchange(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
        elif self.size and torch.rand(()) < 0.5:
            index = int(torch.randint(self.size, ()))
            kept, self.images[index] = self.images[index], image.clone()
            return kept.to(image.device)
        return image
