"""Component boxes for networks that need them: from a typical face, or detected by MTCNN."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from faceskd.common.images import to_uint8
from faceskd.faces.align import template
from faceskd.faces.components import boxes_from_landmarks
from faceskd.faces.detection import MTCNNDetector

HR_SIZE = 256


class MTCNNBoxes:
    """Detects component boxes with MTCNN. If it finds no face, typical boxes are used."""

    def __init__(self, min_face: float = HR_SIZE / 2) -> None:
        self.min_face = min_face

    @cached_property
    def _detector(self) -> MTCNNDetector:
        return MTCNNDetector(min_face=self.min_face)

    def __call__(self, enlarged: Tensor) -> Tensor:
        """Enlarged faces (B, 3, S, S) in [0, 1] -> boxes (B, 4, 4), xyxy in px."""
        boxes = typical_boxes(len(enlarged), enlarged.shape[-1])
        for index, image in enumerate(to_uint8(enlarged)):
            faces = self._detector.detect(image)
            if faces:
                found = boxes_from_landmarks(faces[0].landmarks, image.shape[0])
                boxes[index] = torch.from_numpy(found)
        return boxes.to(enlarged.device)


def typical_boxes(count: int, size: int = HR_SIZE) -> Tensor:
    """Component boxes of an aligned face of `size` px, (count, 4, 4), xyxy in SR pixels."""
    boxes = boxes_from_landmarks(template(size), size)
    return torch.from_numpy(np.repeat(boxes[None], count, axis=0))


def enlarge(lr: Tensor, size: int = HR_SIZE) -> Tensor:
    """Enlarge LR faces (B, 3, S, S) bicubically to `size` px, in [0, 1]."""
    if lr.shape[-1] == size:
        return lr
    return torch.nn.functional.interpolate(lr, (size, size), mode="bicubic").clamp(0, 1)
