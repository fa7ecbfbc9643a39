"""Squares of clean photographs with generated damage, beside squares of real old photographs.

For the trainings after Wan et al., "Bringing Old Photos Back to Life" (CVPR 2020). An item has the
damaged square, its clean form, and the mask of its structural damage.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from faceskd.common.errors import ConfigError
from faceskd.common.images import to_tensor
from faceskd.data.damage import PhotoDamage
from faceskd.data.images import ImageCrops, ImageData, usable_images


class OldPhotoCrops(ImageCrops):
    """As `ImageCrops`, with the damage as degradation.

    An item has `lr` and `hr` (3, size, size), damaged and clean, and `mask` (1, size, size), 1
    where structural damage is, all float32 in [0, 1]. If there are real old photos, it also has
    `real` (3, size, size), a square of one of them.

    Attributes:
        real: images of real old photos; empty: none.
    """

    real: Sequence[Path] = ()

    def item(self, hr: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
        assert isinstance(self.degradation, PhotoDamage)
        photo, mask, clean = self.degradation.damaged(hr, rng)
        item = {"lr": photo, "hr": clean, "mask": mask[..., None]}
        if self.real:
            item["real"] = self.draw(self.real, rng)
        return {name: to_tensor(image) for name, image in item.items()}


class OldPhotoData(ImageData):
    """A training stream of `OldPhotoCrops`, and a fixed set of them for validation.

    Args:
        degradation: a `PhotoDamage`.
        real: folder of real old photos, with its sub-folders, to train on; None: none.
        options: see `ImageData`.

    Raises:
        ConfigError: the degradation draws no damage with a mask.
        FacesError: a folder has no image that is large enough.
    """

    crops = OldPhotoCrops

    def __init__(
        self, *, degradation: PhotoDamage, real: Path | str | None = None, **options: Any
    ) -> None:
        if not isinstance(degradation, PhotoDamage):
            raise ConfigError(
                "expected a degradation that draws damage, as degradation@data.degradation=old, "
                f"got a {type(degradation).__name__}"
            )
        super().__init__(degradation=degradation, **options)
        self.real = real
        if real is not None:
            assert isinstance(self.train, OldPhotoCrops)
            self.train.real = usable_images(real, self.train.size)
