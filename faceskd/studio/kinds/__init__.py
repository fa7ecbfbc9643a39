"""The kinds of restoration; each file of this folder is one.

To add one, write a module with a class derived from `faceskd.studio.kinds.base.Kind`. It is found
by itself, and pages and API offer it with its options.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from faceskd.studio.kinds.base import Kind
from faceskd.studio.settings import Settings

__all__ = ["Kind", "all_kinds", "available_kinds"]


@cache
def all_kinds() -> dict[str, type[Kind]]:
    """The class of every kind by its name, in the order of `Kind.order`."""
    found: dict[str, type[Kind]] = {}
    for module in iter_modules(__path__):
        for value in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Kind) and value is not Kind:
                found[value.name] = value
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def available_kinds(settings: Settings) -> dict[str, Kind]:
    """The kinds that a studio with these settings offers, by name: their weights are there."""
    kinds = (kind(settings) for kind in all_kinds().values())
    return {kind.name: kind for kind in kinds if kind.available}
