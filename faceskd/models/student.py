"""The paper's student: the teacher's encoder and decoder, without dictionary and landmarks.

Jo, Park, Hong, "Face Super-Resolution using Adversarial Distillation of Multi-Scale Facial Region
Dictionary", JBE 26(5), 2021. The SFT stages use the student's own encoder features.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor

from faceskd.models.base import SuperResolver
from faceskd.models.blocks import bicubic
from faceskd.models.decoder import SFTDecoder
from faceskd.models.residual_decoder import ResidualDecoder
from faceskd.models.vgg import VGG19


class Student(SuperResolver):
    """VGG-19 encoder and SFT decoder. The outputs of the four stages are distilled.

    Args:
        encoder: usually a copy of the teacher's encoder; it is trained.
        decoder: function from the encoder's `feature_info` to a decoder; None for an `SFTDecoder`
            of the encoder's width.

    Examples:
        >>> import torch
        >>> student = Student(encoder=VGG19(width=4, weights="random"))
        >>> sr, features = student.forward_features(torch.rand(1, 3, 32, 32))
        >>> tuple(sr.shape), [tuple(f.shape[1:]) for f in features]
        ((1, 3, 256, 256), [(32, 32, 32), (16, 64, 64), (8, 128, 128), (4, 256, 256)])
    """

    def __init__(
        self,
        *,
        encoder: VGG19,
        decoder: Callable[..., SFTDecoder | ResidualDecoder] | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        make_decoder = decoder or partial(SFTDecoder, width=encoder.width)
        self.decoder = make_decoder(encoder_info=encoder.feature_info)
        self.feature_info = self.decoder.feature_info

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        enlarged = bicubic(lr, self.scale)
        return self.decoder(self.encoder(enlarged), lr, enlarged)
