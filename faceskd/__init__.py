"""faceskd restores the faces in photos and videos, and trains the networks that do it.

`faceskd.Restorer` is the door for users of trained weights, `faceskd.available_models()` says which
come with the package. Both are imported when first touched, so that `import faceskd` and
`faceskd --help` do not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from faceskd.common.version import __version__

if TYPE_CHECKING:
    from faceskd.pretrained import available_models as available_models
    from faceskd.restore.restorer import Restorer as Restorer

_HOMES = {"Restorer": "faceskd.restore.restorer", "available_models": "faceskd.pretrained"}

__all__ = ["Restorer", "__version__", "available_models"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'faceskd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
