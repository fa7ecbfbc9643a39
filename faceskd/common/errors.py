"""Errors with a message for the user.

Every error that bad input or the machine can cause is a `FaceskdError`. Its message says what was
expected, what came instead, and what to do. A command that ends with such an error prints the
message and exits with the error's status. Any other exception is a bug and keeps its traceback.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FaceskdError(Exception):
    """Base class of the errors whose message is written for the user.

    Attributes:
        exit_status: exit status of a command that ends with this error.
    """

    exit_status = 2


class ImageError(FaceskdError):
    """A file is not an image, or the image cannot be used."""


class TooLargeError(ImageError):
    """An image has more pixels than may be read."""


class FacesError(FaceskdError):
    """A folder of prepared faces cannot be used: no manifest, no face, or a missing file."""


class WeightsError(FaceskdError):
    """Weights are missing, damaged, or belong to another architecture."""


class DictionaryError(FaceskdError):
    """A dictionary is missing, damaged, or was built with another encoder."""


class ConfigError(FaceskdError):
    """A setting is invalid."""


class ExportError(FaceskdError):
    """A network cannot be exported, or the exported file does not compute the same."""


class MeasurementError(FaceskdError):
    """Repeated measurements contradict each other."""


class DiskFullError(FaceskdError):
    """A file cannot be written, because the disk is full or the user's quota is used up."""

    exit_status = 1


class MissingExtraError(FaceskdError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is not installed; install it with: "
            f"pip install 'faceskd[{extra}]'"
        )


@contextmanager
def disk_full_as_error(path: Path | str | None = None) -> Iterator[None]:
    """Within the block, an exception caused by a full disk becomes a `DiskFullError`.

    Args:
        path: file that the block writes, for the message. Python and the libraries often do not
            name the file, or name a temporary one. None: the name is taken from the exception.

    Examples:
        >>> with disk_full_as_error("a.png"):
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        faceskd.common.errors.DiskFullError: cannot write 'a.png': the disk is full; free some \
space, then run the same command again
    """
    try:
        yield
    except DiskFullError:  # it names the file already
        raise
    except Exception as error:
        cause = _disk_full_cause(error)
        if cause is None:
            raise
        name = path or getattr(cause, "filename", None)
        raise DiskFullError(
            f"cannot write {repr(str(name)) if name else 'a file'}: the disk is full; "
            "free some space, then run the same command again"
        ) from error


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, the last one first.

    Each comes once: an error that is raised again `from None` while an error with this cause is
    handled makes a cycle.
    """
    seen: list[BaseException] = []
    while error is not None and not any(error is other for other in seen):
        yield error
        seen.append(error)
        error = error.__cause__ or error.__context__


def _disk_full_cause(error: BaseException) -> BaseException | None:
    """The exception that reports a full disk: the error itself or one that led to it."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return cause
        if "No space left on device" in str(cause):  # safetensors has no error number
            return cause
    return None


def reason(error: BaseException) -> str:
    """The first line of an error's message, after the name of its class if it is not ours."""
    text = next(iter(str(error).strip().splitlines()), "")
    return text if isinstance(error, FaceskdError) else f"{type(error).__name__}: {text}"
