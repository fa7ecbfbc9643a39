"""`Restorer`: trained weights as a function from photos to photos.

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
from faceskd.pretrained import DEFAULT_STUDENT, model_path
from faceskd.restore.background import LANCZOS, NO_SCENE, SCENE, Enlarge, TiledScene
from faceskd.restore.forks import check_process, prepare_fork
from faceskd.restore.networks import Weights, absolute, less_changed, loaded, of_scale
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
from faceskd.restore.pictures import Picture, check_lr, to_picture

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

    A network of scale 1 restores each face in a frame of its `size`; a network of scale 8 takes
    faces of 32 px and adds the detail that a face lacks.

    Args:
        weights: a .safetensors, .ckpt, .onnx or .pt2 file, or a network that follows the
            contract (it is copied, not changed). A .pt2 file is native code: see
            `faceskd.export.load_exported`.
        faithful: with a network of scale 1, weights of another training of it that stays closer to
            its input, a .safetensors or .ckpt file; `fidelity` moves between both.
        fidelity: 0 for all detail, 1 for the closest to the input. The weights of both files are
            interpolated. Without `faithful`, the restored face is blended with its input.
        small: weights of a network of scale 8 for the small faces that a network of scale 1 is not
            to restore; `PhotoSettings.small_face` says which these are.
        scene: weights of a network of scale 1 for backgrounds (`faceskd.models.scene`).
        device: "cpu", "cuda", "cuda:1", ...
        precision: "auto" is bf16 where it can be had and the processor has instructions for it,
            else as None, which takes the file's own. .safetensors and .ckpt can also be run in
            "fp32", in "bf16" (with channels_last), and on a GPU in "fp16" (by CUDA graphs).
        batch_size: faces computed at once.
        detector: finds the faces of photos; by default MTCNN, faces of 24 px or more.

    Raises:
        WeightsError: there are no weights, they cannot be loaded, or they are a teacher's, which
            needs component boxes and dictionaries.
        ConfigError: an unknown precision, one that the file is not in, a device that is not there,
            or a network of another scale than its use needs.
    """

    def __init__(
        self,
        weights: Weights | None = None,
        *,
        faithful: Weights | None = None,
        fidelity: float = 0.0,
        small: Weights | None = None,
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
        others = {"faithful": faithful, "small": small, "scene": scene}
        kept: dict[str, Any] = {name: absolute(given) for name, given in others.items()}
        kept |= {"fidelity": fidelity, "device": device, "precision": precision}
        kept |= {"batch_size": batch_size, "detector": self.detector}
        self._made_of = (absolute(weights), kept)
        self._process = os.getpid()
        self._running = threading.Lock()  # CUDA graphs and some runtimes hold state
        options: dict[str, Any] = {"device": device, "precision": precision}
        network = less_changed(weights, faithful, fidelity, **options)
        self.precision = network.precision
        self.frame = network.size if network.scale == 1 else None
        self._frames_at_once = 1 if device == "cpu" else batch_size
        self._run: Callable[[Tensor], Tensor] = network
        self._run_small: Callable[[Tensor], Tensor] | None = None
        if small is not None:
            self._run_small = of_scale(loaded(small, **options), 8, "a network for small faces")
        self.scene: Enlarge | None = None
        if scene is not None:
            self.scene = TiledScene(of_scale(loaded(scene, **options), 1, "a network for scenes"))

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
        background: str = LANCZOS,
        small_face: float = 0,
    ) -> RestoredPhoto:
        """Restore the faces of a photo and enlarge the rest of it.

        Args:
            image: a path, a PIL image, or an RGB uint8 array (H, W, 3). With a network of scale 8,
                a picture of 32x32 px is no photo but one aligned face; the result's image is that
                face of 256 px, whatever the scale. `faceskd restore` does the same.
            scale, strength, only_center_face, faces, background, small_face: see
                `faceskd.restore.photo.PhotoSettings`.

        Raises:
            ImageError: the file cannot be read, the array has another type or shape, or the
                result would be too large.
            ConfigError: a number outside its range, or this is a forked process, and the restorer
                is its parent's.
            WeightsError: the network gives numbers that are not finite.
        """
        settings = PhotoSettings(
            scale, strength, only_center_face, faces, background, small_face=small_face
        )
        return self.photos([image], settings)[0]

    def adapted(self, settings: PhotoSettings) -> PhotoSettings:
        """Settings with the frame that the network needs.

        Raises:
            ConfigError: small faces are to be restored by another network, and there are not two.
            WeightsError: the background needs a network, and there is none.
        """
        if settings.small_face and (self.frame is None or self._run_small is None):
            had = "a network of scale 8 alone" if self.frame is None else "no network for them"
            raise ConfigError(
                f"expected a network of scale 1, and one of scale 8 for small faces, got {had}"
            )
        if settings.background == SCENE and self.scene is None:
            raise WeightsError(NO_SCENE)
        return replace(settings, frame=self.frame)

    def photos(
        self, images: Sequence[Picture], settings: PhotoSettings | None = None
    ) -> list[RestoredPhoto]:
        """Restore several photos, whose faces share the network's batches.

        All are in memory at once; for folders, `faceskd.restore.stream` streams.
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
        """Restore a picture that is one aligned face, or a batch of them.

        Args:
            image: a path, a PIL image, or an RGB uint8 array (H, W, 3) or (B, H, W, 3). A face of
                any size: the largest central square is resized to what the network takes, 32 px or
                its frame (see `faceskd.faces.lr_faces.to_lr`).

        Returns:
            RGB uint8, (256, 256, 3), or (B, 256, 256, 3) for a batch; with a network of scale 1,
            as large as its frame.

        Raises:
            ImageError: the file cannot be read, or the array has another type or shape.
        """
        side = self.frame or LR_SIZE
        restore = self.restore_lr if self.frame is None else self._restore_frames
        if isinstance(image, np.ndarray) and image.ndim == 4:
            return restore([to_lr(to_picture(face), side) for face in image])
        return restore([to_lr(to_picture(image), side)])[0]

    def restore_faces(self, faces: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Restore LR faces and faces in frames, in any order.

        Args:
            faces: RGB uint8, (32, 32, 3) or (frame, frame, 3) each.

        Returns:
            RGB uint8, (256, 256, 3) or (frame, frame, 3).

        Raises:
            ImageError: a face of another size.
            ConfigError, WeightsError: as `restore_lr`.
        """
        results: list[np.ndarray] = [np.empty(0)] * len(faces)
        framed = [n for n, face in enumerate(faces) if self.frame and len(face) == self.frame]
        others = sorted(set(range(len(faces))) - set(framed))
        for numbers, restore in ((framed, self._restore_frames), (others, self.restore_lr)):
            if numbers:
                restored = restore([faces[number] for number in numbers])
                for number, face in zip(numbers, restored, strict=True):
                    results[number] = face
        return results

    def restore_lr(self, faces: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """Restore LR faces as they are: RGB uint8 (B, 32, 32, 3) -> (B, 256, 256, 3).

        Grey faces, whose three channels are equal, stay grey.

        Raises:
            ImageError: faces of another type or shape.
            ConfigError: this is a forked process, and the restorer is its parent's; or no network
                takes LR faces.
            WeightsError: the network gives numbers that are not finite.
        """
        check_process(self._process)
        for face in faces:
            check_lr(face)
        run = self._run_small or self._run
        if self.frame is not None and self._run_small is None:
            raise ConfigError(
                f"expected faces of {self.frame} px, as the network takes them, got LR faces; they "
                "go through Restorer.aligned"
            )
        return self._restore(faces, run, self.batch_size, 8 * LR_SIZE)

    def _restore_frames(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        check_process(self._process)
        assert self.frame is not None
        return self._restore(faces, self._run, self._frames_at_once, self.frame)

    def _restore(
        self,
        faces: Sequence[np.ndarray] | np.ndarray,
        run: Callable[[Tensor], Tensor],
        step: int,
        side: int,
    ) -> np.ndarray:
        batches = [np.stack(list(faces[i : i + step])) for i in range(0, len(faces), step)]
        with self._running:
            restored = [to_uint8(self._finite(run(to_tensor(batch)))) for batch in batches]
        results = np.concatenate([np.zeros((0, side, side, 3), np.uint8), *restored])
        for face, result in zip(faces, results, strict=True):
            if (face == face[..., :1]).all():
                result[:] = cv2.cvtColor(result, cv2.COLOR_RGB2GRAY)[..., None]
        return results

    def _finite(self, sr: Tensor) -> Tensor:
        if not torch.isfinite(sr).all():
            raise WeightsError(
                "expected finite numbers from the network, got NaN or infinity: the weights are "
                f"damaged, or too large for {self.precision}; take the file anew, or precision fp32"
            )
        return sr


def _rebuilt(kind: type[Restorer], weights: Any, options: dict[str, Any]) -> Restorer:
    """A restorer from its weights and options, for pickle."""
    return kind(weights, **options)
