"""`Restorer` restores photos with trained weights.

>>> restorer = faceskd.Restorer.from_pretrained()  # doctest: +SKIP
>>> photo = restorer("photo.jpg")                  # doctest: +SKIP
>>> photo.image, photo.faces, photo.boxes          # doctest: +SKIP
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import torch
from torch import Tensor

from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.images import to_tensor, to_uint8
from faceskd.faces.detection import Detector
from faceskd.faces.lr_faces import LR_SIZE, to_lr
from faceskd.models.base import PICTURES
from faceskd.pretrained import DEFAULT_STUDENT, model_path
from faceskd.restore.background import LANCZOS, NO_SCENE, SCENE, Enlarge, tiled_scene
from faceskd.restore.forks import check_process, prepare_fork
from faceskd.restore.networks import Weights, absolute, less_changed, loaded
from faceskd.restore.photo import (
    PhotoSettings,
    RestoredPhoto,
    add_detail,
    find_faces,
    network_inputs,
    photo_detector,
    put_back,
)
from faceskd.restore.photo_face import AUTO
from faceskd.restore.pictures import Picture, check_face, to_picture

BATCH_SIZE = 8
"""Faces in one batch. On CPU, the feature maps of larger batches do not fit into the cache."""

NO_WEIGHTS = (
    "expected weights, got none: give a file from `faceskd export` (.safetensors, .onnx, .pt2) or "
    "`faceskd train` (.ckpt), or use the weights of the package: Restorer.from_pretrained()"
)


class Restorer:
    """Restores photos (call it) or aligned faces (`aligned`).

    Several threads may use one restorer. It can be pickled; weights given as a file are loaded
    again when it is unpickled. A forked process cannot use the restorer of its parent, but it can
    use an unpickled one, as `Pool.map(restorer, photos)` does.

    A network of scale 1 restores each face in a frame of its `size`. A network of scale 8 takes
    faces of 32 px; the detail that the face in the photo lacks is added to it.

    Args:
        weights: a .safetensors, .ckpt, .onnx or .pt2 file, or a network that follows the
            contract (it is copied). A .pt2 file contains native code: see
            `faceskd.export.load_exported`.
        faithful: with a network of scale 1, weights of a second training of the same network that
            stays closer to its input, as a .safetensors or .ckpt file.
        fidelity: 0 for the most detail, 1 for the result closest to the input. The weights of
            `weights` and `faithful` are interpolated. Without `faithful`, the restored face is
            blended with its input.
        scene: weights of a network for backgrounds, of scale 1 (`faceskd.models.scene`) or 4
            (`conf/model/realsr.yaml`).
        device: "cpu", "cuda", "cuda:1", ...
        precision: "auto" is bf16 if the file can be run in it and the processor has instructions
            for it; otherwise, and for None, the precision of the file. .safetensors and .ckpt can
            also be run in "fp32", in "bf16" (channels_last), and on a GPU in "fp16" (CUDA graphs).
        batch_size: faces in one batch.
        detector: finds the faces of photos; MTCNN for faces of at least 24 px by default.

    Raises:
        WeightsError: there are no weights, they cannot be loaded, they belong to a teacher, which
            needs component boxes and dictionaries, or to a network for something else.
        ConfigError: the precision is unknown, or the file cannot be run in it; there is no such
            device; or a network does not have the scale that its use needs.
    """

    def __init__(
        self,
        weights: Weights | None = None,
        *,
        faithful: Weights | None = None,
        fidelity: float = 0.0,
        scene: Weights | None = None,
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
        others = {"faithful": faithful, "scene": scene}
        kept: dict[str, Any] = {name: absolute(given) for name, given in others.items()}
        kept |= {"fidelity": fidelity, "device": device, "precision": precision}
        kept |= {"batch_size": batch_size, "detector": self.detector}
        self._made_of = (absolute(weights), kept)
        self._process = os.getpid()
        self._running = threading.Lock()  # CUDA graphs and some runtimes hold state
        options: dict[str, Any] = {"device": device, "precision": precision}
        network = less_changed(weights, faithful, fidelity, **options)
        if network.scale not in (1, 8):
            raise ConfigError(
                f"expected a network of scale 1 or 8 for faces, got one of scale {network.scale}"
            )
        self.precision = network.precision
        self.frame = network.size if network.scale == 1 else None
        self._frames_at_once = 1 if device == "cpu" else batch_size
        self._run: Callable[[Tensor], Tensor] = network
        self.scene: Enlarge | None = None
        if scene is not None:
            self.scene = tiled_scene(loaded(scene, PICTURES, **options))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), *self._made_of)

    @classmethod
    def from_pretrained(
        cls, name: str = DEFAULT_STUDENT, *, folder: str | Path | None = None, **options: Any
    ) -> Self:
        """A restorer with weights of the package; nothing is downloaded.

        Args:
            name: a student, see `faceskd.available_models`.
            folder: a folder with the same layout as `faceskd/pretrained`, instead of it.
            options: other arguments of the constructor.

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
        background: str = LANCZOS,
    ) -> RestoredPhoto:
        """Restore the faces of a photo and enlarge the rest of it.

        Args:
            image: a path, a PIL image, or an RGB uint8 array (H, W, 3). With a network of scale 8,
                an image of 32x32 px is treated as one aligned face. The result is that face at 256
                px, whatever the scale. `faceskd restore` does the same.
            scale, strength, only_center_face, faces, background: see
                `faceskd.restore.photo.PhotoSettings`.

        Raises:
            ImageError: the file cannot be read, the array has a wrong type or shape, or the
                result would be too large.
            ConfigError: a number is outside its range, or the restorer was made before this process
                was forked.
            WeightsError: the network returns NaN or infinity.
        """
        settings = PhotoSettings(scale, strength, only_center_face, faces, background)
        return self.photos([image], settings)[0]

    def adapted(self, settings: PhotoSettings) -> PhotoSettings:
        """The settings with the frame of the network.

        Raises:
            WeightsError: the background needs a network, but there is none.
        """
        if settings.background == SCENE and self.scene is None:
            raise WeightsError(NO_SCENE)
        return replace(settings, frame=self.frame)

    def photos(
        self, images: Sequence[Picture], settings: PhotoSettings | None = None
    ) -> list[RestoredPhoto]:
        """Restore several photos; their faces are put into common batches.

        All photos are in memory at the same time. For folders, see `faceskd.restore.stream`.
        """
        check_process(self._process)
        settings = self.adapted(settings or PhotoSettings())
        pictures = [to_picture(image) for image in images]
        found = [find_faces(picture, self.detector, settings) for picture in pictures]
        given = [network_inputs(image, faces) for image, faces in zip(pictures, found, strict=True)]
        restored = iter(self.restore_faces([face for faces in given for face in faces]))
        results = []
        for picture, faces, group in zip(pictures, found, given, strict=True):
            done = add_detail(faces, [next(restored) for _ in group], settings.strength)
            results.append(RestoredPhoto(put_back(picture, done, settings, self.scene), done))
        return results

    def aligned(self, image: Picture) -> np.ndarray:
        """Restore an image of one aligned face, or a batch of such images.

        Args:
            image: a path, a PIL image, or an RGB uint8 array (H, W, 3) or (B, H, W, 3). Any size:
                the largest central square is resized to the input of the network, which is 32 px
                or its frame (see `faceskd.faces.lr_faces.to_lr`).

        Returns:
            RGB uint8, (256, 256, 3), or (B, 256, 256, 3) for a batch. With a network of scale 1,
            the side is that of its frame.

        Raises:
            ImageError: the file cannot be read, or the array has a wrong type or shape.
        """
        side = self.frame or LR_SIZE
        if isinstance(image, np.ndarray) and image.ndim == 4:
            return self.restore_faces([to_lr(to_picture(face), side) for face in image])
        return self.restore_faces([to_lr(to_picture(image), side)])[0]

    def restore_faces(self, faces: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Restore faces of the size of the network's input.

        Grey faces (three equal channels) stay grey.

        Args:
            faces: RGB uint8, (B, 32, 32, 3) for a network of scale 8, (B, frame, frame, 3) for one
                of scale 1.

        Returns:
            RGB uint8, (B, 256, 256, 3) or (B, frame, frame, 3).

        Raises:
            ImageError: a face has a wrong type or shape.
            ConfigError: the restorer was made before this process was forked.
            WeightsError: the network returns NaN or infinity.
        """
        check_process(self._process)
        for face in faces:
            check_face(face, self.frame or LR_SIZE)
        step = self._frames_at_once if self.frame else self.batch_size
        side = self.frame or 8 * LR_SIZE
        batches = [np.stack(list(faces[i : i + step])) for i in range(0, len(faces), step)]
        with self._running:
            restored = [to_uint8(self._finite(self._run(to_tensor(batch)))) for batch in batches]
        results = np.concatenate([np.zeros((0, side, side, 3), np.uint8), *restored])
        for face, result in zip(faces, results, strict=True):
            if (face == face[..., :1]).all():
                result[:] = cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)[..., None]
        return results

    def _finite(self, sr: Tensor) -> Tensor:
        if not torch.isfinite(sr).all():
            raise WeightsError(
                "expected finite numbers from the network, got NaN or infinity: the weights are "
                f"damaged, or too large for {self.precision}; copy the file again, or use fp32"
            )
        return sr


def _rebuilt(kind: type[Restorer], weights: Any, options: dict[str, Any]) -> Restorer:
    """A restorer from its weights and options, for pickle."""
    return kind(weights, **options)
