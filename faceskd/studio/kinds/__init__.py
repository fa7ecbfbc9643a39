"""The kinds of restoration; each file of this folder is one.

To add one, write a module with a class derived from `faceskd.studio.kinds.base.Kind`. It is found
by itself, and pages and API offer it with its options.
"""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from faceskd.studio.kinds.base import Kind

__all__ = ["Kind", "all_kinds", "kind_named"]


@cache
def all_kinds() -> dict[str, Kind]:
    """Every kind by its name, in the order of `Kind.order`."""
    found: dict[str, Kind] = {}
    for module in iter_modules(__path__):
        for value in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Kind) and value is not Kind:
                found[value.name] = value()
    return dict(sorted(found.items(), key=lambda item: item[1].order))


def kind_named(name: str) -> Kind | None:
    """The kind of a name; None where there is none."""
    return all_kinds().get(name)
