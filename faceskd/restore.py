"""`Restorer`: trained weights as a function from face images to face images.

>>> restorer = faceskd.Restorer("student.safetensors")  # doctest: +SKIP
>>> face = restorer("face.jpg")                         # doctest: +SKIP
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from faceskd.errors import ImageError, WeightsError
from faceskd.export.eager import eager
from faceskd.export.loading import load_exported
from faceskd.images import from_pil, read_image, to_tensor, to_uint8
from faceskd.lr_faces import to_lr
from faceskd.models.base import SuperResolver

NO_WEIGHTS = (
    "expected weights, got none: give a file that `faceskd export` (.safetensors, .onnx, .pt2) "
    "or `faceskd train` (.ckpt) wrote"
)


class Restorer:
    """Restores aligned faces: 32x32 becomes 256x256.

    Args:
        weights: a .safetensors, .ckpt, .onnx or .pt2 file, or a network that follows the
            contract (it is copied, not changed). A .pt2 file is native code: see
            `faceskd.export.load_exported`.
        device: "cpu", "cuda", "cuda:1", ...
        precision: None takes the file's own. .safetensors and .ckpt can also be run in "fp32",
            in "bf16" (with channels_last), which is several times faster on processors with
            bfloat16 matrix units, and on a GPU in "fp16" (by CUDA graphs).

    Raises:
        WeightsError: there are no weights, they cannot be loaded, or they are a teacher's, which
            needs component boxes and dictionaries.
        ConfigError: an unknown precision, one that the file is not in, or a device that is not
            there.
    """

    def __init__(
        self,
        weights: str | Path | SuperResolver | None = None,
        *,
        device: str = "cpu",
        precision: str | None = None,
    ) -> None:
        if weights is None:
            raise WeightsError(NO_WEIGHTS)
        self._run: Callable[[Tensor], Tensor]
        if isinstance(weights, SuperResolver):
            self.precision = precision or "fp32"
            self._run = eager(weights, precision=self.precision, device=device)
        else:
            self._run = load_exported(weights, device=device, precision=precision)
            self.precision = self._run.precision

    def __call__(self, image: str | Path | Image.Image | np.ndarray) -> np.ndarray:
        """Restore an aligned face, or a batch of them.

        Args:
            image: a path, a PIL image of any mode, or an RGB uint8 array (H, W, 3) or
                (B, H, W, 3), values 0 to 255. A face of any size: the largest central square is
                resized to 32x32 (see
                `faceskd.lr_faces.to_lr`).

        Returns:
            RGB uint8, (256, 256, 3), or (B, 256, 256, 3) for a batch.

        Raises:
            ImageError: the file cannot be read, or the array has another type or shape.
        """
        if isinstance(image, str | Path):
            image = read_image(image)
        elif isinstance(image, Image.Image):
            image = from_pil(image)
        _check_array(image)
        if image.ndim == 3:
            return self.restore_lr(to_lr(image)[None])[0]
        return self.restore_lr(np.stack([to_lr(face) for face in image]))

    def restore_lr(self, faces: np.ndarray) -> np.ndarray:
        """Restore LR faces as they are: RGB uint8 (B, 32, 32, 3) -> (B, 256, 256, 3)."""
        return to_uint8(self._run(to_tensor(faces)))


def _check_array(image: np.ndarray) -> None:
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"expected a path, a PIL image or a numpy array, got {type(image).__name__}"
        )
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or image.shape[-1] != 3:
        raise ImageError(
            f"expected RGB uint8, (H, W, 3) or (B, H, W, 3), got {image.dtype} {image.shape}"
        )
    if 0 in image.shape:
        raise ImageError(f"expected at least one pixel, got the shape {image.shape}")
