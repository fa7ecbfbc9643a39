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
        """Enlarged faces (B, 3, 256, 256) in [0, 1] -> boxes (B, 4, 4), xyxy in px."""
        boxes = typical_boxes(len(enlarged))
        for index, image in enumerate(to_uint8(enlarged)):
            faces = self._detector.detect(image)
            if faces:
                found = boxes_from_landmarks(faces[0].landmarks, HR_SIZE)
                boxes[index] = torch.from_numpy(found)
        return boxes.to(enlarged.device)


def typical_boxes(count: int) -> Tensor:
    """Component boxes of an aligned face, (count, 4, 4), xyxy in SR pixels."""
    boxes = boxes_from_landmarks(template(HR_SIZE), HR_SIZE)
    return torch.from_numpy(np.repeat(boxes[None], count, axis=0))


def enlarge(lr: Tensor) -> Tensor:
    """Enlarge LR faces for a detector: (B, 3, 32, 32) -> (B, 3, 256, 256), in [0, 1]."""
    size = (HR_SIZE, HR_SIZE)
    return torch.nn.functional.interpolate(lr, size, mode="bicubic").clamp(0, 1)
