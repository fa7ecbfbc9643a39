"""Frozen parts: modules inside others that are used but never trained.

`frozen` is the one place where a part is declared so. It gets no gradient and stays in eval mode;
a training leaves it out of its optimisers, and out of its checkpoints unless it belongs to the
network that is trained.
"""

from typing import TypeVar

from torch import nn

Part = TypeVar("Part", bound=nn.Module)
MARK = "is_frozen"


def frozen(part: Part) -> Part:
    """The same module, declared a frozen part.

    Examples:
        >>> part = frozen(nn.Linear(2, 2))
        >>> part.training, part.weight.requires_grad
        (False, False)
    """
    setattr(part, MARK, True)
    return part.requires_grad_(False).eval()


def frozen_parts(module: nn.Module) -> dict[str, nn.Module]:
    """The frozen parts of a module, however deep, by their names.

    Examples:
        >>> list(frozen_parts(nn.ModuleDict({"a": frozen(nn.Identity()), "b": nn.Identity()})))
        ['a']
    """
    return {name: part for name, part in module.named_modules() if getattr(part, MARK, False)}
