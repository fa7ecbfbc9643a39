"""The teacher: DFDNet at 256 px for LR faces of 32 px, or at 512 px for faces of the same size.

Li et al., "Blind Face Restoration via Deep Multi-scale Component Dictionaries", ECCV 2020, as
used by Jo et al. 2021: VGG-19 encoder, dictionary feature transfer at four taps, SFT decoder.
Differences from DFDNet: 256 px, any batch size, RoIAlign, atoms of at least 3 cells, biased
variance, selection of atoms by one matrix product, and a residual head (`faceskd.models.decoder`).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from faceskd.common.errors import ConfigError, DictionaryError
from faceskd.faces.components import COMPONENTS
from faceskd.models.base import SuperResolver
from faceskd.models.blocks import bicubic
from faceskd.models.decoder import SFTDecoder
from faceskd.models.dictionary import Dictionary
from faceskd.models.ensemble import from_mirror
from faceskd.models.frozen import frozen
from faceskd.models.residual_decoder import ResidualDecoder
from faceskd.models.transfer import OWN, FeatureTransfer
from faceskd.models.vgg import VGG19


class Teacher(SuperResolver):
    """Restores a face with a dictionary of facial components; needs component boxes.

    The encoder is frozen, because a dictionary is valid only for the encoder that built it.
    `load_dictionary` refuses the dictionary of another encoder.

    Args:
        encoder: the encoder that built the dictionary.
        dictionary: a `Dictionary` or its file; None if `load_dictionary` is called later.
        selection: "product" (one matrix product), "literal" as DFDNet computes it, or "own": the
            same layers without a dictionary, which measures what the dictionary does.
        decoder: function from the encoder's `feature_info` to a decoder; None for an `SFTDecoder`
            of the encoder's width.
        mirror_share: weight s of a second pass in eval mode. The SR face is
            (1 - s) f(x) + s m(f(m(x))), where m mirrors. With s = 0.5 this is a self-ensemble
            (Timofte et al., "Seven ways to improve example-based single image super resolution",
            CVPR 2016). It takes twice the time. The feature maps are those of the first pass. 0.5
            has the highest PSNR; smaller values keep more texture.
        privileged: choose the atoms with the HR face, where it is given: in training. So the
            teacher knows something that its student does not (compare PKDN, arXiv 2409.14385). The
            atoms are still adapted to the statistics of the LR face.
        scale: SR pixels for one LR pixel, along each side; 1 for photos.
        size: side of the SR faces, px; the dictionary's components grow with it.

    Raises:
        ConfigError: mirror_share is outside [0, 1], the size is no multiple of 16 scale, or a
            dictionary or a privilege is given to a teacher that uses none ("own").
        DictionaryError: see `load_dictionary`.
    """

    needs_boxes = True

    def __init__(
        self,
        *,
        encoder: VGG19,
        dictionary: Dictionary | Path | str | None = None,
        selection: str = "product",
        decoder: Callable[..., SFTDecoder | ResidualDecoder] | None = None,
        mirror_share: float = 0.0,
        privileged: bool = False,
        scale: int = 8,
        size: int = 256,
    ) -> None:
        super().__init__()
        if scale < 1 or size < 16 or size % (16 * scale):
            raise ConfigError(f"expected a size in multiples of {16 * scale} px, got {size}")
        self.scale, self.size = scale, size
        if not 0 <= mirror_share <= 1:
            raise ConfigError(f"expected mirror_share from 0 to 1, got {mirror_share}")
        self.uses_dictionary = selection != OWN
        if privileged and not self.uses_dictionary:
            raise ConfigError("expected privileged=false with selection=own: no atom is chosen")
        self.mirror_share = mirror_share
        self.privileged = privileged
        self.encoder = frozen(encoder)
        self.transfers = nn.ModuleList(
            FeatureTransfer(
                channels=info.channels, stride=info.stride, selection=selection, face_size=size
            )
            for info in encoder.feature_info
        )
        make_decoder = decoder or partial(SFTDecoder, width=encoder.width)
        self.decoder = make_decoder(encoder_info=encoder.feature_info)
        self.feature_info = self.decoder.feature_info
        if dictionary is not None:
            self.load_dictionary(dictionary)

    def load_dictionary(self, dictionary: Dictionary | Path | str) -> None:
        """Set the atoms of all transfers.

        Raises:
            ConfigError: the teacher uses no dictionary.
            DictionaryError: the dictionary is missing, damaged, or built with another encoder.
        """
        if not self.uses_dictionary:
            raise ConfigError("expected no dictionary with selection=own")
        if not isinstance(dictionary, Dictionary):
            dictionary = Dictionary.load(dictionary)
        encoder = self.encoder
        dictionary.check_encoder(
            encoder.taps, encoder.feature_info, encoder.fingerprint(), face_size=self.size
        )
        for tap, transfer in zip(self.encoder.taps, self.transfers, strict=True):
            transfer.load_atoms(dictionary.atoms_of(tap))  # type: ignore[operator]
        self.dictionary_sha256 = dictionary.sha256

    def load_random_dictionary(self, *, atoms: int, seed: int = 0) -> None:
        encoder = self.encoder
        self.load_dictionary(
            Dictionary.random(
                encoder.taps, encoder.feature_info, atoms=atoms, seed=seed, face_size=self.size
            )
        )

    def stop_mirroring(self) -> None:
        self.mirror_share = 0.0

    @property
    def dictionary_bytes(self) -> int:
        """Memory of the atoms in bytes, in their current dtype; 0 without a dictionary."""
        return sum(
            buffer.numel() * buffer.element_size()
            for name, buffer in self.transfers.named_buffers()
            if ".atoms_" in name
        )

    def forward(self, lr: Tensor, boxes: Tensor | None = None, hr: Tensor | None = None) -> Tensor:
        """The SR faces (B, 3, sH, sW), s is `scale`; `hr`, of this shape, if it is privileged."""
        return self.forward_features(lr, boxes, hr)[0]

    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None, hr: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        if hr is not None and not self.privileged:
            raise ValueError("expected no HR faces: this teacher is not privileged")
        if self.uses_dictionary and not self.dictionary_bytes:
            raise DictionaryError("the teacher has no dictionary: call load_dictionary first")
        if boxes is None or boxes.shape != (len(lr), len(COMPONENTS), 4):
            came = None if boxes is None else tuple(boxes.shape)
            raise ValueError(f"expected boxes ({len(lr)}, {len(COMPONENTS)}, 4), got {came}")
        sr, features = self._look_up(lr, boxes, hr)
        if self.mirror_share and not self.training:
            flipped = None if hr is None else hr.flip(-1)
            other = from_mirror(
                lambda lr, boxes: self._look_up(lr, boxes, flipped)[0], lr, boxes, scale=self.scale
            )
            sr = torch.lerp(sr, other, self.mirror_share)
        return sr, features

    def _look_up(
        self, lr: Tensor, boxes: Tensor, hr: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        enlarged = bicubic(lr, self.scale) if self.scale > 1 else lr
        encoded = self.encoder(enlarged)
        with torch.no_grad():
            guides = encoded if hr is None else self.encoder(hr)
        transferred = [
            transfer(features, boxes, guide)
            for transfer, features, guide in zip(self.transfers, encoded, guides, strict=True)
        ]
        return self.decoder(transferred, lr, enlarged)
