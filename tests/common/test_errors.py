"""The chain of errors, and a full disk that is found in it."""

import errno

import pytest

from faceskd.common.errors import (
    ConfigError,
    DiskFullError,
    WeightsError,
    causes,
    disk_full_as_error,
)


def raise_with_cycle() -> None:
    """Raise an error whose context has the error itself as its cause, as `instantiate` does."""
    inner = WeightsError("no weights")
    try:
        raise ConfigError("cannot build") from inner
    except ConfigError as error:
        assert error.__cause__ is inner
        raise inner from None


def test_causes_are_those_that_were_named_or_handled() -> None:
    first, second, third = OSError("a"), ValueError("b"), ConfigError("c")
    third.__cause__, second.__context__ = second, first
    assert list(causes(third)) == [third, second, first]
    assert list(causes(None)) == []


def test_a_cycle_ends() -> None:
    with pytest.raises(WeightsError) as raised:
        raise_with_cycle()
    assert isinstance(raised.value.__context__, ConfigError)
    assert list(causes(raised.value)) == [raised.value, raised.value.__context__]


def test_an_error_with_a_cycle_passes_unchanged() -> None:
    with pytest.raises(WeightsError, match="no weights"), disk_full_as_error():
        raise_with_cycle()


def test_a_full_disk_is_found_behind_other_errors() -> None:
    with pytest.raises(DiskFullError, match=r"'a\.png'"), disk_full_as_error("a.png"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("cannot save") from error
