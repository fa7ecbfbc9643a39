"""The base class of all networks: teacher, students and baselines have the same interface."""

from abc import abstractmethod
from pathlib import Path

from torch import Tensor, nn

from faceskd.common.errors import ConfigError, DictionaryError, WeightsError
from faceskd.models.dictionary import Dictionary
from faceskd.models.features import FeatureInfo

__all__ = ["FeatureInfo", "SuperResolver", "check_same_faces"]

FACES, PICTURES, TRANSLATIONS, OLD_PHOTOS = "faces", "pictures", "translations", "old photos"
"""What networks of scale 1 are for; scenes and drawings are pictures."""

TRAINED_BY = {
    FACES: "experiment=photo",
    PICTURES: "experiment=scene or experiment=drawing",
    TRANSLATIONS: "experiment=seasons",
    OLD_PHOTOS: "experiment=old_mapping",
}
"""Experiments that train such a network."""


class SuperResolver(nn.Module):
    """A network from LR to SR faces: RGB float in [0, 1], (B, 3, H, W) -> (B, 3, sH, sW).

    Networks normalise their input themselves. Their constructors take only keyword arguments. SR
    images are not clamped, because losses need gradients outside [0, 1]; they are clamped when they
    are written.

    Attributes:
        scale: s, SR pixels per LR pixel along each side: 8 for LR faces of 32 px, 4 for RealSR, 1
            for photos.
        size: side of the SR faces that it is trained for, in px. The side of LR faces is
            size / scale.
        purpose: what its architecture is for, such as `FACES`; "": that depends on its training.
        feature_info: description of each feature map of `forward_features`, in the same order.
        needs_boxes: whether `boxes` must be given: component boxes (B, 4, 4), xyxy in SR pixels, in
            the order of `faceskd.faces.components.COMPONENTS`.
        privileged: whether `forward` and `forward_features` also take the HR faces, as `hr`, which
            are known only during training.
        uses_dictionary: whether it looks up components in a `Dictionary`. Then `load_dictionary`
            must be called before the first pass.
        dictionary_sha256: checksum of the dictionary's file; "" without a dictionary.
    """

    scale: int = 8
    size: int = 256
    purpose: str = ""
    feature_info: list[FeatureInfo]
    needs_boxes: bool = False
    privileged: bool = False
    uses_dictionary: bool = False
    dictionary_sha256: str = ""

    def forward(self, lr: Tensor, boxes: Tensor | None = None) -> Tensor:
        """LR images (B, 3, H, W) -> SR images (B, 3, scale H, scale W)."""
        return self.forward_features(lr, boxes)[0]

    @abstractmethod
    def forward_features(
        self, lr: Tensor, boxes: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """The SR images and the feature maps, which `feature_info` describes."""

    def load_dictionary(self, dictionary: Dictionary | Path | str) -> None:
        """Load the atoms of a dictionary, given as object or file.

        Raises:
            DictionaryError: the network uses no dictionary, or the dictionary does not fit.
        """
        raise DictionaryError(f"a {type(self).__name__} uses no dictionary")

    def load_random_dictionary(self, *, atoms: int, seed: int = 0) -> None:
        """Load `atoms` random atoms per component and scale, to measure time and memory.

        Raises:
            DictionaryError: the network uses no dictionary.
        """
        raise DictionaryError(f"a {type(self).__name__} uses no dictionary")

    def stop_mirroring(self) -> None:
        """From now on, do not compute a second SR face from the mirrored LR face."""


def check_same_faces(network: SuperResolver, other: SuperResolver) -> None:
    """Raise a ConfigError unless two networks make faces of the same scale and size.

    Networks that need no boxes take faces of any size.
    """
    sized = network.needs_boxes or other.needs_boxes
    if network.scale != other.scale or (sized and network.size != other.size):
        first, second = (
            f"a {type(one).__name__} of scale {one.scale} and {one.size} px"
            for one in (network, other)
        )
        raise ConfigError(f"expected networks of the same scale and size, got {first} and {second}")


def check_purpose(purpose: str, wanted: str, origin: str) -> None:
    """Raise a WeightsError if a network is for something else than what is wanted.

    Where the purpose is not known, only a translation is refused: weights of one say that they are.
    """
    if purpose != wanted and (purpose or wanted == TRANSLATIONS):
        raise WeightsError(
            f"expected a network for {wanted} in {origin!r}, got one for {purpose or 'another use'}"
            f": `faceskd train` with {TRAINED_BY[wanted]} trains one"
        )
