"""Print the import graph of the package: its folders in layers, and who imports whom.

    python tools/print_architecture.py

A folder stands one layer above the highest folder that it imports. `make lint` checks the order of
the layers itself (import-linter, contracts in pyproject.toml).
"""

from graphlib import TopologicalSorter
from typing import NamedTuple

import grimp

PACKAGE = "faceskd"


class Architecture(NamedTuple):
    """The import graph of the direct children of the package: folders, and files beside them.

    Attributes:
        imports: child -> the other children that its files import.
        layers: children by layer, the lowest first.
    """

    imports: dict[str, set[str]]
    layers: list[list[str]]

    @property
    def edges(self) -> int:
        """How many pairs of children import one another."""
        return sum(map(len, self.imports.values()))


def measure(package: str = PACKAGE) -> Architecture:
    """Read the imports of every file; imports for type checkers and within functions count.

    Raises:
        graphlib.CycleError: folders import each other in a circle.
    """
    graph = grimp.build_graph(package, cache_dir=None)
    children = sorted(graph.find_children(package))
    imports: dict[str, set[str]] = {child: set() for child in children}
    for module in graph.modules - {package}:
        for imported in graph.find_modules_directly_imported_by(module) - {package}:
            if _child(module) != _child(imported):
                imports[_child(module)].add(_child(imported))
    layer: dict[str, int] = {}
    for child in TopologicalSorter(imports).static_order():
        layer[child] = max((layer[imported] + 1 for imported in imports[child]), default=0)
    layers: list[list[str]] = [[] for _ in range(max(layer.values()) + 1)]
    for child in sorted(layer):
        layers[layer[child]].append(child)
    return Architecture(imports, layers)


def _child(module: str) -> str:
    return ".".join(module.split(".")[:2])


if __name__ == "__main__":
    architecture = measure()
    for number in range(len(architecture.layers), 0, -1):
        for child in architecture.layers[number - 1]:
            names = sorted(name.removeprefix(f"{PACKAGE}.") for name in architecture.imports[child])
            print(f"{number}  {child}  imports {', '.join(names) or 'nothing'}")
    print(
        f"{len(architecture.imports)} folders and files, {len(architecture.layers)} layers, "
        f"{architecture.edges} edges"
    )
