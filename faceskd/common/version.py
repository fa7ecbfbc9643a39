"""The version of the installed package."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("faceskd")
except PackageNotFoundError:  # a plain clone, not installed
    __version__ = "0.0.0+unknown"
