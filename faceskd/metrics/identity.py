"""Identity: does the SR face show the same person, to a face-recognition network?"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from faceskd.common.errors import FaceskdError
from faceskd.common.images import IMAGENET_MEAN, IMAGENET_STD, to_uint8
from faceskd.common.onnx_session import open_session
from faceskd.faces.align import fit_similarity, warp
from faceskd.metrics.base import ImageMetric, MetricUnavailable, check_landmarks

IDENTITY = "identity"
CROP_SIDE = 112
ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
     [70.7299, 92.2041]]
)  # fmt: skip
"""Eyes, nose tip and mouth corners in ArcFace's crop of 112x112 px (Deng et al., CVPR 2019)."""


class Identity(ImageMetric):
    """`identity_<file stem>`: cosine similarity in [-1, 1] of the embeddings of SR and HR face.

    Both faces are aligned to ArcFace's template with the landmarks of the HR face, so that a
    detector has no influence. The network is an ONNX file. Its input is RGB (N, 3, 112, 112),
    normalised with ImageNet's mean and standard deviation; its output is embeddings (N, D).
    """

    needs_landmarks = True

    def __init__(self, model: Path | str | None) -> None:
        self._model = Path(model) if model else None
        self.name = f"{IDENTITY}_{self._model.stem}" if self._model else IDENTITY
        self._session: Any = None
        self._latest: tuple[Tensor, Tensor] | None = None

    def load(self) -> None:
        if self._session is not None:
            return
        if self._model is None:
            raise MetricUnavailable(
                "no face-recognition network was given: set face_model=PATH to an ONNX file, such "
                f"as MobileFaceNet, that takes RGB faces (N, 3, {CROP_SIDE}, {CROP_SIDE})"
            )
        try:
            session = open_session(self._model)
        except FaceskdError as error:
            raise MetricUnavailable(str(error)) from error
        shape = session.get_inputs()[0].shape
        if list(shape[1:]) != [3, CROP_SIDE, CROP_SIDE]:
            raise MetricUnavailable(
                f"expected a network with input (N, 3, {CROP_SIDE}, {CROP_SIDE}), got {shape} in "
                f"{str(self._model)!r}"
            )
        self._session = session

    def per_image(self, sr: Tensor, hr: Tensor, landmarks: Tensor | None) -> Tensor:
        landmarks = check_landmarks(landmarks, self.name)
        self.load()
        if self._latest is None or self._latest[0] is not hr:  # all methods share the HR images
            self._latest = hr, self._embed(hr, landmarks)
        return (self._embed(sr, landmarks) * self._latest[1]).sum(1)

    def _embed(self, images: Tensor, landmarks: Tensor) -> Tensor:
        """Unit embeddings (B, D) of images (B, 3, H, W), on the CPU."""
        crops = [
            warp(image, fit_similarity(points, ARCFACE_TEMPLATE), CROP_SIDE)
            for image, points in zip(to_uint8(images), landmarks.cpu().numpy(), strict=True)
        ]
        batch = (
            ((np.stack(crops) / 255 - IMAGENET_MEAN) / IMAGENET_STD)
            .transpose(0, 3, 1, 2)
            .astype(np.float32)
        )
        name = self._session.get_inputs()[0].name
        # One face at a time, because many published files accept a batch of one only.
        rows = [self._session.run(None, {name: batch[i : i + 1]})[0] for i in range(len(batch))]
        return normalize(torch.from_numpy(np.concatenate(rows)).double(), dim=1)
