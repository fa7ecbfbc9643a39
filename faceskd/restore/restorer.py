"""`Restorer`: trained weights as a function from photos to photos.

>>> restorer = faceskd.Restorer.from_pretrained()  # doctest: +SKIP
>>> photo = restorer("photo.jpg")                  # doctest: +SKIP
>>> photo.image, photo.faces, photo.boxes          # doctest: +SKIP
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from PIL import Image
from torch import Tensor

from faceskd.common.errors import ConfigError, ImageError, WeightsError
from faceskd.common.images import from_pil, read_image, to_tensor, to_uint8
from faceskd.common.machine import multiplies_bfloat16
from faceskd.export.eager import eager
from faceskd.export.loading import load_exported
from faceskd.faces.detection import Detector
from faceskd.faces.lr_faces import LR_SIZE, to_lr
from faceskd.models.base import SuperResolver
from faceskd.pretrained import DEFAULT_STUDENT, model_path
from faceskd.restore.photo import (
    PhotoSettings,
    RestoredPhoto,
    add_detail,
    find_faces,
    lr_faces,
    photo_detector,
    put_back,
)

SR_SHAPE = (256, 256, 3)

BATCH_SIZE = 8
"""Faces computed at once; on a processor, more make the feature maps outgrow its cache."""

Picture = str | Path | Image.Image | np.ndarray
"""A path, a PIL image of any mode, or an RGB uint8 array (H, W, 3)."""

NO_WEIGHTS = (
    "expected weights, got none: give a file that `faceskd export` (.safetensors, .onnx, .pt2) "
    "or `faceskd train` (.ckpt) wrote, or take those of the package: Restorer.from_pretrained()"
)


class Restorer:
    """Restores the faces of whole photos (call it), or aligned faces (`aligned`).

    One restorer may be called by many threads.

    Args:
        weights: a .safetensors, .ckpt, .onnx or .pt2 file, or a network that follows the
            contract (it is copied, not changed). A .pt2 file is native code: see
            `faceskd.export.load_exported`.
        device: "cpu", "cuda", "cuda:1", ...
        precision: "auto" is bf16 where it can be had and the processor has instructions for it,
            else as None, which takes the file's own. .safetensors and .ckpt can also be run in
            "fp32", in "bf16" (with channels_last), and on a GPU in "fp16" (by CUDA graphs).
        batch_size: faces computed at once.
        detector: finds the faces of photos; by default MTCNN, faces of 24 px or more.

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
        precision: str | None = "auto",
        batch_size: int = BATCH_SIZE,
        detector: Detector | None = None,
    ) -> None:
        if weights is None:
            raise WeightsError(NO_WEIGHTS)
        if batch_size < 1:
            raise ConfigError(f"expected a batch of at least 1 face, got {batch_size}")
        self.batch_size = batch_size
        self.detector = detector or photo_detector()
        if precision == "auto":
            precision = _fastest(weights, device)
        self._running = threading.Lock()  # CUDA graphs and some runtimes hold state
        self._run: Callable[[Tensor], Tensor]
        if isinstance(weights, SuperResolver):
            self.precision = precision or "fp32"
            self._run = eager(weights, precision=self.precision, device=device)
        else:
            self._run = load_exported(weights, device=device, precision=precision)
            self.precision = self._run.precision

    @classmethod
    def from_pretrained(
        cls, name: str = DEFAULT_STUDENT, *, folder: str | Path | None = None, **options: Any
    ) -> Self:
        """A restorer with weights that come with the package; nothing is downloaded.

        Args:
            name: of a student, see `faceskd.available_models`.
            folder: another folder like the package's own (`faceskd.pretrained`).
            options: of the constructor.

        Raises:
            WeightsError: there is no such student, or its file is missing or damaged.
        """
        return cls(model_path(name, folder, role="student"), **options)

    def __call__(
        self,
        image: Picture,
        *,
        scale: float = 2,
        strength: float = 1,
        only_center_face: bool = False,
    ) -> RestoredPhoto:
        """Restore the faces of a photo and enlarge the rest of it.

        Args:
            image: a path, a PIL image, or an RGB uint8 array (H, W, 3). A picture of 32x32 px is no
                photo but one aligned face; the result's image is that face of 256 px.
            scale, strength, only_center_face: see `faceskd.restore.photo.PhotoSettings`.

        Raises:
            ImageError: the file cannot be read, the array has another type or shape, or the
                result would be too large.
            ConfigError: a number outside its range.
        """
        settings = PhotoSettings(scale, strength, only_center_face)
        picture = _picture(image)
        if picture.shape[:2] == (LR_SIZE, LR_SIZE):
            return RestoredPhoto(self.aligned(picture))
        return self.photos([picture], settings)[0]

    def photos(
        self, images: Sequence[Picture], settings: PhotoSettings | None = None
    ) -> list[RestoredPhoto]:
        """Restore several photos, whose faces share the network's batches.

        All are in memory at once; for folders, `faceskd.restore.stream` streams.
        """
        settings = settings or PhotoSettings()
        pictures = [_picture(image) for image in images]
        found = [find_faces(picture, self.detector, settings) for picture in pictures]
        lr = [lr_faces(picture, faces) for picture, faces in zip(pictures, found, strict=True)]
        restored = iter(self.restore_lr([face for faces in lr for face in faces]))
        results = []
        for picture, faces, group in zip(pictures, found, lr, strict=True):
            done = add_detail(faces, [next(restored) for _ in group], settings.strength)
            results.append(RestoredPhoto(put_back(picture, done, settings), done))
        return results

    def aligned(self, image: Picture) -> np.ndarray:
        """Restore a picture that is one aligned face, or a batch of them.

        Args:
            image: a path, a PIL image, or an RGB uint8 array (H, W, 3) or (B, H, W, 3). A face of
                any size: the largest central square is resized to 32x32 (see
                `faceskd.faces.lr_faces.to_lr`).

        Returns:
            RGB uint8, (256, 256, 3), or (B, 256, 256, 3) for a batch.

        Raises:
            ImageError: the file cannot be read, or the array has another type or shape.
        """
        if isinstance(image, np.ndarray) and image.ndim == 4:
            return self.restore_lr([to_lr(_picture(face)) for face in image])
        return self.restore_lr([to_lr(_picture(image))])[0]

    def restore_lr(self, faces: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Restore LR faces as they are: RGB uint8 (B, 32, 32, 3) -> (B, 256, 256, 3)."""
        step = self.batch_size
        batches = [np.stack(list(faces[i : i + step])) for i in range(0, len(faces), step)]
        with self._running:
            restored = [to_uint8(self._run(to_tensor(batch))) for batch in batches]
        return np.concatenate([np.zeros((0, *SR_SHAPE), np.uint8), *restored])


def _fastest(weights: str | Path | SuperResolver, device: str) -> str | None:
    free = isinstance(weights, SuperResolver) or Path(weights).suffix in (".safetensors", ".ckpt")
    return "bf16" if free and device == "cpu" and multiplies_bfloat16() else None


def _picture(image: Picture) -> np.ndarray:
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        return from_pil(image)
    if not isinstance(image, np.ndarray):
        raise ImageError(
            f"expected a path, a PIL image or a numpy array, got {type(image).__name__}"
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ImageError(f"expected RGB uint8, (H, W, 3), got {image.dtype} {image.shape}")
    if 0 in image.shape:
        raise ImageError(f"expected at least one pixel, got the shape {image.shape}")
    return image
