"""`Restorer`: trained weights as a function from face images to face images.

>>> restorer = faceskd.Restorer("student.safetensors")  # doctest: +SKIP
>>> face = restorer("face.jpg")                         # doctest: +SKIP
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from faceskd.errors import ConfigError, ImageError, WeightsError
from faceskd.images import from_pil, read_image, to_tensor, to_uint8
from faceskd.lr_faces import to_lr
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import fold
from faceskd.weights import load_network

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}

NO_WEIGHTS = (
    "expected weights, got none: give a file that `faceskd export` (.safetensors, .onnx) or "
    "`faceskd train` (.ckpt) wrote"
)


class Restorer:
    """Restores aligned faces: 32x32 becomes 256x256.

    Args:
        weights: a .safetensors, .ckpt or .onnx file, or a network that follows the contract
            (it is copied, not changed).
        device: "cpu", "cuda", "cuda:1", ...
        precision: "fp32", or "bf16" (with channels_last), which is several times faster on
            processors with bfloat16 matrix units; PyTorch weights only.

    Raises:
        WeightsError: there are no weights, they cannot be loaded, or they are a teacher's, which
            needs component boxes and dictionaries.
        ConfigError: an unknown precision, or a device that is not there.
    """

    def __init__(
        self,
        weights: str | Path | SuperResolver | None = None,
        *,
        device: str = "cpu",
        precision: str = "fp32",
    ) -> None:
        if weights is None:
            raise WeightsError(NO_WEIGHTS)
        if precision not in PRECISIONS:
            raise ConfigError(f"expected the precision fp32 or bf16, got {precision!r}")
        self.device = _check_device(device)
        self.precision = precision
        self._run = self._load(weights)

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

    def _load(self, weights: str | Path | SuperResolver) -> Callable[[Tensor], Tensor]:
        if isinstance(weights, SuperResolver):
            return self._wrap(weights)
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsError(f"expected a file of weights, but there is none at {str(path)!r}")
        return self._load_onnx(path) if path.suffix == ".onnx" else self._wrap(load_network(path))

    def _wrap(self, network: SuperResolver) -> Callable[[Tensor], Tensor]:
        if network.needs_boxes:
            raise WeightsError(
                f"expected a student or another network that needs the face only, got "
                f"{type(network).__name__}, which needs component boxes and dictionaries"
            )
        dtype = PRECISIONS[self.precision]
        layout = torch.channels_last if self.precision == "bf16" else torch.contiguous_format
        network = fold(network).to(self.device, dtype).to(memory_format=layout)

        @torch.inference_mode()
        def run(lr: Tensor) -> Tensor:
            return network(lr.to(self.device, dtype).contiguous(memory_format=layout))

        return run

    def _load_onnx(self, path: Path) -> Callable[[Tensor], Tensor]:
        from faceskd.export.onnx import OnnxRuntime

        if self.precision != "fp32":
            raise ConfigError(
                f"the precision of {path.name} is in the file; {self.precision} on demand needs "
                f".safetensors or .ckpt weights"
            )
        return OnnxRuntime(path, device=str(self.device))


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


def _check_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"expected a device such as cpu or cuda, got {name!r}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"the device {name!r} is not there: PyTorch sees {torch.cuda.device_count()} GPUs"
        )
    return device
