"""Several trainings of a method, which differ in their seeds."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from faceskd.common.errors import ConfigError
from faceskd.jobs.plan import Options

SEED = "_seed"
"""In the names of trainings with other seeds, before the seed."""


def training_names(method: str, trainings: int) -> list[str]:
    """The jobs of a method: the first has its name.

    Examples:
        >>> training_names("teacher", 3)
        ['teacher', 'teacher_seed1', 'teacher_seed2']
    """
    return [method, *(f"{method}{SEED}{seed}" for seed in range(1, trainings))]


def with_seeds(jobs: Mapping[str, Any], seeds: Mapping[str, int]) -> dict[str, Any]:
    """A plan's jobs, and beside each seeded training the same with the seeds 1, 2, ...

    What a training needs, such as its teacher or its dictionary, is the one of seed 0 for all.

    Args:
        jobs: configs of jobs, see `faceskd.jobs.plan`.
        seeds: how many trainings a job has.

    Raises:
        ConfigError: there is no such job, it trains nothing, or the number is not at least 1.
    """
    expanded = dict(jobs)
    for method, count in seeds.items():
        if method in jobs and jobs[method] is None:  # left out
            continue
        job = jobs.get(method)
        is_count = isinstance(count, int) and count >= 1
        if job is None or job["command"] != "train" or not is_count:
            raise ConfigError(
                f"expected seeds to name trainings of the plan with a number of at least 1, got "
                f"{method!r}: {count}"
            )
        for seed, name in enumerate(training_names(method, count)[1:], start=1):
            overrides = [*(job.get("overrides") or ()), f"seed={seed}"]
            expanded[name] = {**job, "overrides": overrides}
    return expanded


def seeded_options(options: Options) -> dict[str, Any]:
    """A plan whose jobs and tables have the other seeds of `options["seeds"]`, too.

    A method that is a training with another dictionary has the seeds of this training.
    """
    jobs = with_seeds(options["jobs"], options["seeds"])
    seeds, others = dict(options["seeds"]), {}
    for method, config in options["other_dictionaries"].items():
        count = seeds[method] = seeds.get(config["training"], 1)
        names, trainings = (training_names(name, count) for name in (method, config["training"]))
        for name, training in zip(names, trainings, strict=True):
            others[name] = {**config, "training": training}
    evaluations = {
        name: {**config, "methods": [*chain.from_iterable(
            training_names(method, seeds.get(method, 1)) for method in config["methods"]
        )]}
        for name, config in options["evaluations"].items()
    }  # fmt: skip
    return {
        **options,
        "jobs": jobs,
        "seeds": seeds,
        "other_dictionaries": others,
        "evaluations": evaluations,
    }
