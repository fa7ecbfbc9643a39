"""Checks of settings, with messages of the form "expected X, got Y"."""

import math
from collections.abc import Collection
from typing import Any

from faceskd.common.errors import ConfigError


def check_whole(lowest: int, **settings: Any) -> None:
    """Raise a ConfigError unless each setting is a whole number of at least `lowest`.

    Examples:
        >>> check_whole(1, **{"data.batch_size": 8})
        >>> check_whole(1, steps="abc")
        Traceback (most recent call last):
        ...
        faceskd.common.errors.ConfigError: expected steps as a whole number of at least 1, got 'abc'
    """
    for name, value in settings.items():
        if not _is_whole(value, lowest):
            raise ConfigError(
                f"expected {name} as a whole number of at least {lowest}, got {value!r}"
            )


def check_whole_or_none(lowest: int, **settings: Any) -> None:
    """As `check_whole`, but None is accepted, too.

    Examples:
        >>> check_whole_or_none(1, limit=None)
    """
    check_whole(lowest, **{name: value for name, value in settings.items() if value is not None})


def check_all_whole(lowest: int, **settings: Any) -> None:
    """Raise a ConfigError unless each setting is one or more whole numbers from `lowest` on.

    Examples:
        >>> check_all_whole(1, threads=[1, 2])
        >>> check_all_whole(1, batch_sizes=[0])
        Traceback (most recent call last):
        ...
        faceskd.common.errors.ConfigError: expected batch_sizes as whole numbers of at least 1, \
got [0]
    """
    for name, values in settings.items():
        if not values or not all(_is_whole(value, lowest) for value in values):
            raise ConfigError(
                f"expected {name} as whole numbers of at least {lowest}, got {list(values)}"
            )


def _is_whole(value: Any, lowest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= lowest


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value)


def are_shares(values: Collection[Any]) -> bool:
    """Whether values are numbers of at least 0 that add up to 1.

    Examples:
        >>> are_shares([0.8, 0.2]), are_shares(["80%", 0.2]), are_shares([])
        (True, False, False)
    """
    if not all(is_number(value) and value >= 0 for value in values):
        return False
    return abs(sum(values) - 1) <= 1e-6


def check_not_negative(**settings: Any) -> None:
    """Raise a ConfigError unless each setting is a finite number of at least 0.

    Examples:
        >>> check_not_negative(weight=-1)
        Traceback (most recent call last):
        ...
        faceskd.common.errors.ConfigError: expected weight as a number of at least 0, got -1
    """
    for name, value in settings.items():
        if not (is_number(value) and value >= 0):
            raise ConfigError(f"expected {name} as a number of at least 0, got {value!r}")


def check_positive(**settings: Any) -> None:
    """Raise a ConfigError unless each setting is a finite number above 0.

    Examples:
        >>> check_positive(learning_rate=-1)
        Traceback (most recent call last):
        ...
        faceskd.common.errors.ConfigError: expected learning_rate as a number above 0, got -1
    """
    for name, value in settings.items():
        if not (is_number(value) and value > 0):
            raise ConfigError(f"expected {name} as a number above 0, got {value!r}")


def check_choice(choices: Collection[Any], **settings: Any) -> None:
    """Raise a ConfigError unless each setting is one of `choices`.

    Examples:
        >>> check_choice(("bilinear", "lanczos"), mode="cubic")
        Traceback (most recent call last):
        ...
        faceskd.common.errors.ConfigError: expected mode as one of bilinear, lanczos, got 'cubic'
    """
    for name, value in settings.items():
        if value not in choices:
            known = ", ".join("null" if choice is None else str(choice) for choice in choices)
            raise ConfigError(f"expected {name} as one of {known}, got {value!r}")


def check_choices(choices: Collection[Any], **settings: Collection[Any]) -> None:
    """Raise a ConfigError unless each setting contains nothing but elements of `choices`.

    Examples:
        >>> check_choices(("psnr", "ssim"), metrics=["psnr", "sim"])
        Traceback (most recent call last):
        ...
        faceskd.common.errors.ConfigError: expected metrics of psnr, ssim; got 'sim'
    """
    for name, values in settings.items():
        for value in values:
            if value not in choices:
                known = ", ".join(map(str, choices))
                raise ConfigError(f"expected {name} of {known}; got {value!r}")
