"""Weights of the networks that metrics look through."""

from pathlib import Path

from faceskd.common.errors import WeightsError
from faceskd.common.hub import hub_file
from faceskd.common.pickles import read_pickle
from faceskd.metrics.base import MetricUnavailable


def metric_weights(url: str, *, allow_download: bool) -> Path:
    """The cached file of `url`, whole and safe to load.

    Raises:
        MetricUnavailable: the file is damaged, or missing and not to be downloaded.
    """
    otherwise = "set allow_download=true of `faceskd evaluate`"
    try:
        path = hub_file(url, allow_download=allow_download, otherwise=otherwise)
        read_pickle(path)
    except WeightsError as error:
        raise MetricUnavailable(str(error)) from error
    return path
