"""For the API reference: document each object in its own module only.

`faceskd.losses` exports `L1Loss` from `faceskd.losses.reconstruction`. Without this extension of
griffe, which reads the docstrings for mkdocstrings, the page would describe it twice.
"""

from typing import Any

import griffe


class DocumentOnce(griffe.Extension):
    """Forget `__all__`, so that griffe takes imported objects for private ones."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Called for each package, once all of its modules are read."""
        self._forget_exports(pkg)

    def _forget_exports(self, module: griffe.Module) -> None:
        module.exports = None
        for inner in module.modules.values():
            if not inner.is_alias:
                self._forget_exports(inner)
