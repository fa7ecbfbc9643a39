"""Frozen parts: submodules that are used but never trained, such as the VGG of a loss.

Every frozen part is declared with `frozen`. It gets no gradients and stays in eval mode. Trainings
do not pass it to optimisers, and do not save it in checkpoints unless it belongs to the network
that is trained.
"""

from typing import TypeVar

from torch import nn

Part = TypeVar("Part", bound=nn.Module)
MARK = "is_frozen"


def frozen(part: Part) -> Part:
    """Declare a module frozen, and return it.

    Examples:
        >>> part = frozen(nn.Linear(2, 2))
        >>> part.training, part.weight.requires_grad
        (False, False)
    """
    setattr(part, MARK, True)
    return part.requires_grad_(False).eval()


def frozen_parts(module: nn.Module) -> dict[str, nn.Module]:
    """All frozen parts inside a module, by their names.

    Examples:
        >>> list(frozen_parts(nn.ModuleDict({"a": frozen(nn.Identity()), "b": nn.Identity()})))
        ['a']
    """
    return {name: part for name, part in module.named_modules() if getattr(part, MARK, False)}
