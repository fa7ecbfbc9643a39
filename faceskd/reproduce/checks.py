"""Checks of a plan before its first training takes hours."""

from collections.abc import Mapping

from hydra.errors import HydraException

from faceskd.common.config import compose
from faceskd.common.errors import ConfigError
from faceskd.jobs.plan import Job


def check_trainings(jobs: Mapping[str, Job]) -> None:
    """Check the options of all trainings before the first one takes hours.

    Raises:
        ConfigError: an option of a training is unknown, or its steps are not a whole number of
            epochs.
    """
    from faceskd.data.stream import steps_per_epoch

    for job in jobs.values():
        if job.command == "train" and job.given is None:
            try:
                steps_per_epoch(compose(job.command, job.overrides))
            except (ConfigError, HydraException) as error:
                raise ConfigError(f"the training {job.name} cannot run: {error}") from error
