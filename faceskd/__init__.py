"""faceskd: 32x32 faces to 256x256, by adversarial distillation of facial-component dictionaries.

`faceskd.Restorer` is the door for users of trained weights. It is imported when first touched,
so that `import faceskd` and `faceskd --help` do not wait for PyTorch.
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faceskd.restore import Restorer as Restorer

try:
    __version__ = version("faceskd")
except PackageNotFoundError:  # a plain clone, not installed
    __version__ = "0.0.0+unknown"

__all__ = ["Restorer", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Restorer":
        from faceskd.restore import Restorer

        return Restorer
    raise AttributeError(f"module 'faceskd' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
