"""Time calls in turn (A B C A B C ...), so that other load on the machine affects all equally."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from faceskd.common.errors import reason

Key = TypeVar("Key")


def interleave(
    calls: Mapping[Key, Callable[[], Any]],
    *,
    warmup: int,
    repeats: int,
    device: torch.device | None = None,
    before: Callable[[Key], None] = lambda key: None,
    on_turn: Callable[[], None] = lambda: None,
) -> dict[Key, list[float]]:
    """Seconds of each call. The calls run in turn: A B C A B C ...

    Args:
        calls: the functions to time, by any key.
        warmup: turns that are run but not measured.
        repeats: measured turns.
        device: device to synchronise before each reading of the clock.
        before: called before each call, outside the measured time.
        on_turn: called after each turn.
    """
    seconds: dict[Key, list[float]] = {key: [] for key in calls}
    with torch.inference_mode():
        for turn in range(warmup + repeats):
            for key, call in calls.items():
                before(key)
                taken = _timed(call, device)
                if turn >= warmup:
                    seconds[key].append(taken)
            on_turn()
    return seconds


def try_out(
    calls: Mapping[Key, Callable[[], Any]],
    *,
    longest: float,
    device: torch.device | None = None,
    before: Callable[[Key], None] = lambda key: None,
) -> tuple[dict[Key, float], dict[Key, str]]:
    """Seconds of a first run of each call, and the reason for each call that failed.

    Args:
        longest: a call that takes more seconds counts as failed.
    """
    seconds: dict[Key, float] = {}
    failures: dict[Key, str] = {}
    with torch.inference_mode():
        for key, call in calls.items():
            before(key)
            try:
                taken = _timed(call, device)
            except Exception as error:
                failures[key] = reason(error)
                continue
            if taken > longest:
                failures[key] = f"a pass takes {taken:.1f} s, more than longest={longest:g}"
            else:
                seconds[key] = taken
    return seconds, failures


@contextmanager
def threads_kept() -> Iterator[None]:
    """Restore PyTorch's number of threads after the block."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _timed(call: Callable[[], Any], device: torch.device | None) -> float:
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)
