"""What data sets of LR and HR faces have in common."""

from collections.abc import Mapping
from typing import Any, Protocol


class FacePairs(Protocol):
    """A data set whose items are {"lr", "hr", "boxes", "landmarks", "name"}."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Mapping[str, Any]: ...
