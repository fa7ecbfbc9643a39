"""The one contract of every network: teacher, student and baselines are exchangeable."""

from abc import abstractmethod
from pathlib import Path

from torch import Tensor, nn

from faceskd.common.errors import DictionaryError
from faceskd.models.dictionary import Dictionary
from faceskd.models.features import FeatureInfo

__all__ = ["FeatureInfo", "SuperResolver"]


class SuperResolver(nn.Module):
    """A network from LR to SR faces: RGB float in [0, 1], (B, 3, H, W) -> (B, 3, 8H, 8W).

    A network normalises inside itself and takes keywords only in its constructor. The SR image
    is not clamped: losses need its gradient outside [0, 1], and writers clamp.

    Attributes:
        scale: SR pixels for one LR pixel, along each side: 8, or 1 for photos.
        size: side of the SR faces it is trained for, px; that of LR faces is size / scale.
        feature_info: one entry for each feature map of `forward_features`, in its order.
        needs_boxes: whether `boxes`, the component boxes (B, 4, 4), xyxy in SR pixels, in the
            order of `faceskd.faces.components.COMPONENTS`, must be given.
        privileged: whether `forward` and `forward_features` also take the HR faces, as `hr`, which
            only training has.
        uses_dictionary: whether it looks components up in a `Dictionary`; it computes nothing
            before `load_dictionary`.
        dictionary_sha256: checksum of the dictionary's file; "" where there is none.
    """

    scale: int = 8
    size: int = 256
    feature_info: list[FeatureInfo]
    needs_boxes: bool = False
    privileged: bool = False
    uses_dictionary: bool = False
    dictionary_sha256: str = ""

    def forward(self, lr: Tensor, boxes: Tensor | None = None) -> Tensor:
        """The SR images (B, 3, scale H, scale W) of the LR images (B, 3, H, W)."""
        return self.forward_features(lr, boxes)[0]

    @abstractmethod
    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The SR images, and the feature maps that `feature_info` describes."""

    def load_dictionary(self, dictionary: Dictionary | Path | str) -> None:
        """Fill in the atoms of a dictionary or of its file.

        Raises:
            DictionaryError: the network uses no dictionary, or not this one.
        """
        raise DictionaryError(f"a {type(self).__name__} uses no dictionary")

    def load_random_dictionary(self, *, atoms: int, seed: int = 0) -> None:
        """Fill in `atoms` random atoms for each component and scale, to measure time and memory.

        Raises:
            DictionaryError: the network uses no dictionary.
        """
        raise DictionaryError(f"a {type(self).__name__} uses no dictionary")

    def stop_mirroring(self) -> None:
        """From now on compute no second face of the mirrored LR face, where the network did."""
