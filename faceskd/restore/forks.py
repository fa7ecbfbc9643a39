"""Restorers in forked processes, in which the threads of the parent are missing."""

import os

import cv2
import torch

from faceskd.common.errors import ConfigError

_LOADED_IN = os.getpid()
"""ID of the process that imported this module; in a forked process the ID is different."""


def prepare_fork(device: str) -> None:
    """Use one thread in a forked process.

    The threads of the parent's thread pools do not exist in a fork. A library that waits for them
    would wait for ever.

    Raises:
        ConfigError: the device is a GPU, which a forked process cannot use.
    """
    if os.getpid() == _LOADED_IN:
        return
    if device.startswith("cuda") and torch.cuda.is_available():
        raise ConfigError(
            "expected a process of its own for the GPU, got a fork, in which CUDA does not work; "
            'use multiprocessing.get_context("spawn")'
        )
    torch.set_num_threads(1)
    cv2.setNumThreads(0)


def check_process(made_in: int) -> None:
    """Refuse an object that another process made: it would wait for threads that do not exist.

    Raises:
        ConfigError: `made_in` is not the ID of this process.
    """
    if os.getpid() != made_in:
        raise ConfigError(
            "expected a restorer made in this process, got one inherited by a fork, whose threads "
            "are not here; hand it to the worker as an argument, as in pool.map(restorer, photos), "
            "or make it in the worker"
        )
