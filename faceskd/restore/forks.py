"""Restorers and processes made by fork, in which the threads of the parent are missing."""

import os

import cv2
import torch

from faceskd.common.errors import ConfigError

_LOADED_IN = os.getpid()
"""The process that imported this module; another number is that of a fork of it."""


def prepare_fork(device: str) -> None:
    """In a forked process run on one thread: the others of the pools stayed with the parent.

    A library that waits for them waits for ever.

    Raises:
        ConfigError: the device is a GPU, which a fork cannot use.
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
    """Refuse what another process made: it would wait for threads that are not here.

    Raises:
        ConfigError: `made_in` is not the number of this process.
    """
    if os.getpid() != made_in:
        raise ConfigError(
            "expected a restorer made in this process, got one inherited by a fork, whose threads "
            "are not here; hand it to the worker as an argument, as in pool.map(restorer, photos), "
            "or make it in the worker"
        )
