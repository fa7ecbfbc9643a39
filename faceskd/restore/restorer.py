"""`Restorer`: trained weights as a function from photos to photos.

>>> restorer = faceskd.Restorer.from_pretrained()  # doctest: +SKIP
>>> photo = restorer("photo.jpg")                  # doctest: +SKIP
>>> photo.image, photo.faces, photo.boxes          # doctest: +SKIP
"""

import copy
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import torch
from torch import Tensor

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.images import to_tensor, to_uint8
from faceskd.common.machine import multiplies_bfloat16
from faceskd.export.eager import eager
from faceskd.export.loading import load_exported
from faceskd.faces.detection import Detector
from faceskd.faces.lr_faces import to_lr
from faceskd.models.base import SuperResolver
from faceskd.pretrained import DEFAULT_STUDENT, model_path
from faceskd.restore.forks import check_process, prepare_fork
from faceskd.restore.photo import (
    PhotoSettings,
    RestoredPhoto,
    add_detail,
    find_faces,
    lr_faces,
    photo_detector,
    put_back,
)
from faceskd.restore.photo_face import AUTO
from faceskd.restore.pictures import Picture, check_lr, to_picture

SR_SHAPE = (256, 256, 3)

BATCH_SIZE = 8
"""Faces computed at once; on a processor, more make the feature maps outgrow its cache."""

NO_WEIGHTS = (
    "expected weights, got none: give a file that `faceskd export` (.safetensors, .onnx, .pt2) "
    "or `faceskd train` (.ckpt) wrote, or take those of the package: Restorer.from_pretrained()"
)


class Restorer:
    """Restores the faces of whole photos (call it), or aligned faces (`aligned`).

    One restorer may be called by many threads. It can be pickled: weights given as a file are
    loaded again where it is unpickled. A process made by fork cannot use its parent's restorer,
    but it can use an unpickled one, as `Pool.map(restorer, photos)` does.

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
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigError(f"expected a batch of at least 1 face, got {batch_size!r}")
        prepare_fork(device)
        self.batch_size = batch_size
        self.detector = detector or photo_detector()
        asked = {"device": device, "precision": precision, "batch_size": batch_size}
        kept = copy.deepcopy(weights) if isinstance(weights, SuperResolver) else _absolute(weights)
        self._made_of = (kept, asked | {"detector": self.detector})
        self._process = os.getpid()
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

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), *self._made_of)

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
        faces: str = AUTO,
    ) -> RestoredPhoto:
        """Restore the faces of a photo and enlarge the rest of it.

        Args:
            image: a path, a PIL image, or an RGB uint8 array (H, W, 3). A picture of 32x32 px is no
                photo but one aligned face; the result's image is that face of 256 px, whatever the
                scale. `faceskd restore` does the same.
            scale, strength, only_center_face, faces: see `faceskd.restore.photo.PhotoSettings`.

        Raises:
            ImageError: the file cannot be read, the array has another type or shape, or the
                result would be too large.
            ConfigError: a number outside its range, or this is a forked process, and the restorer
                is its parent's.
            WeightsError: the network gives numbers that are not finite.
        """
        settings = PhotoSettings(scale, strength, only_center_face, faces)
        return self.photos([image], settings)[0]

    def photos(
        self, images: Sequence[Picture], settings: PhotoSettings | None = None
    ) -> list[RestoredPhoto]:
        """Restore several photos, whose faces share the network's batches.

        All are in memory at once; for folders, `faceskd.restore.stream` streams.
        """
        check_process(self._process)
        settings = settings or PhotoSettings()
        pictures = [to_picture(image) for image in images]
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
            return self.restore_lr([to_lr(to_picture(face)) for face in image])
        return self.restore_lr([to_lr(to_picture(image))])[0]

    def restore_lr(self, faces: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Restore LR faces as they are: RGB uint8 (B, 32, 32, 3) -> (B, 256, 256, 3).

        Grey faces, whose three channels are equal, stay grey.

        Raises:
            ImageError: faces of another type or shape.
            ConfigError: this is a forked process, and the restorer is its parent's.
            WeightsError: the network gives numbers that are not finite.
        """
        check_process(self._process)
        for face in faces:
            check_lr(face)
        step = self.batch_size
        batches = [np.stack(list(faces[i : i + step])) for i in range(0, len(faces), step)]
        with self._running:
            restored = [to_uint8(self._finite(to_tensor(batch))) for batch in batches]
        results = np.concatenate([np.zeros((0, *SR_SHAPE), np.uint8), *restored])
        for face, result in zip(faces, results, strict=True):
            if (face == face[..., :1]).all():
                result[:] = cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)[..., None]
        return results

    def _finite(self, lr: Tensor) -> Tensor:
        sr = self._run(lr)
        if not torch.isfinite(sr).all():
            raise WeightsError(
                "expected finite numbers from the network, got NaN or infinity: the weights are "
                f"damaged, or too large for {self.precision}; take the file anew, or precision fp32"
            )
        return sr


def _rebuilt(kind: type[Restorer], weights: Any, options: dict[str, Any]) -> Restorer:
    """A restorer from its weights and options, for pickle."""
    return kind(weights, **options)


def _absolute(path: str | Path) -> Path:
    return Path(path).expanduser().absolute()


def _fastest(weights: str | Path | SuperResolver, device: str) -> str | None:
    free = isinstance(weights, SuperResolver) or Path(weights).suffix in (".safetensors", ".ckpt")
    return "bf16" if free and device == "cpu" and multiplies_bfloat16() else None
