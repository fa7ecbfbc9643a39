"""Errors that speak to the user.

Every error that bad input can cause is a `FaceskdError`: its message is one sentence that says
what was expected and what came. The command line prints that sentence and exits with status 2;
anything else is a bug and keeps its traceback.
"""


class FaceskdError(Exception):
    """Base class of the errors whose message is written for the user."""


class ImageError(FaceskdError):
    """A file that is not a usable image."""


class FacesError(FaceskdError):
    """A folder of prepared faces that cannot be used: no manifest, no face, a missing file."""


class WeightsError(FaceskdError):
    """Weights that are missing, damaged, or belong to another architecture."""


class DictionaryError(FaceskdError):
    """A dictionary that is missing, damaged, or made for another encoder."""


class ConfigError(FaceskdError):
    """A setting outside what is possible."""


class ExportError(FaceskdError):
    """A network that cannot be exported, or an exported file that does not compute the same."""


class MeasurementError(FaceskdError):
    """Repeated measurements contradict each other."""


class MissingExtraError(FaceskdError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is not installed; install it with: "
            f"pip install 'faceskd[{extra}]'"
        )


def reason(error: BaseException) -> str:
    """The first line of an error; runtimes have exceptions of their own, which are named."""
    text = next(iter(str(error).strip().splitlines()), "")
    return text if isinstance(error, FaceskdError) else f"{type(error).__name__}: {text}"
