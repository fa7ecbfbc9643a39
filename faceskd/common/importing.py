"""Importing large packages in less time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Within the block Python does not look for garbage.

    PyTorch and torchvision make some hundred thousand objects that all stay; looking through them,
    again and again while they are made, is a quarter of the time that their import takes.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
