"""`faceskd experiment`: train every method, measure them side by side, write the tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from faceskd.common.arguments import quoted
from faceskd.common.config import compose, compose_model, instantiate
from faceskd.common.errors import FaceskdError
from faceskd.common.files import make_folder
from faceskd.data.manifest import read_manifest
from faceskd.jobs.jobs import Job, Runner, read_jobs, select_jobs, weights_of
from faceskd.jobs.stages import Stage
from faceskd.reproduce.tables import Evaluated

LANDMARKS = "landmarks"
MEASURED_SPLIT = "test"
Options = Mapping[str, Any]


def run_experiment(options: Options, console: Console) -> dict[str, str]:
    """Run or go on with the experiment of `conf/experiment.yaml`; write results.md and its tables.

    Args:
        options: that config, plain.

    Returns:
        For each job that failed, why; the others' results are there.

    Raises:
        FaceskdError: an option is impossible, or there are no faces where they were said to be.
    """
    for folder in (options["faces"], options["second"]):
        if folder is not None:
            read_manifest(folder, MEASURED_SPLIT)
    out = make_folder(options["out"])
    jobs = read_jobs(wanted_jobs(options), options["shared"], out)
    only = options["only"]
    if only is not None:
        jobs = select_jobs(jobs, [only] if isinstance(only, str) else only)
    runner = Runner(out, restart=options["restart"], console=console)
    for job in jobs.values():
        runner.run(job)
    if only is None:
        measure(options, runner, out)
    return runner.failures


def wanted_jobs(options: Options) -> dict[str, Any]:
    """The jobs' configs without those that make faces which are given."""
    jobs = dict(options["jobs"])
    given = {
        "portraits": options["photos"] or options["faces"],
        "faces": options["faces"],
        "second_portraits": options["second"],
        "second": options["second"],
    }
    return jobs | {name: None for name, folder in given.items() if folder is not None}


def measure(options: Options, runner: Runner, out: Path) -> None:
    """Evaluate and profile what was trained; write the results."""
    from faceskd.reproduce.report import write_results

    files = {name: write_interpolation(name, out) for name in options["interpolations"]}
    files |= {
        name: weights_of(name, out)
        for name, outcome in runner.outcomes.items()
        if outcome.stage.command == "train"
    }
    evaluations = []
    for name, config in options["evaluations"].items():
        job = evaluation_job(name, config, files, options, runner)
        runner.run(job)
        if job.name in runner.outcomes:
            order = tuple(config["methods"])
            evaluations.append(Evaluated(name, config["title"], out / job.name, order))
    models = [name for name in options["profile"]["models"] if name in files]
    runner.run(profile_job(models, files, options))
    landmarks = measure_landmarks(options, runner, out)
    write_results(options, runner, evaluations, landmarks)


def evaluation_job(
    name: str, config: Options, files: Mapping[str, Path], options: Options, runner: Runner
) -> Job:
    """`faceskd evaluate` of those of a table's methods that are done."""
    methods = [method for method in config["methods"] if method in files]
    job = f"evaluate_{name}"
    overrides = [
        *options["shared"]["evaluate"],
        *config.get("overrides", ()),
        f"faces={quoted(config['faces'])}",
        f"split={MEASURED_SPLIT}",
        f"out={_folder(options, job)}",
        *(f"++methods.{method}={quoted(str(files[method]))}" for method in methods),
    ]
    made = [need for need in config["needs"] if wanted_jobs(options).get(need) is not None]
    trained = [method for method in methods if method in runner.outcomes]
    return Job(Stage(job, "evaluate", tuple(overrides)), (*made, *trained))


def profile_job(models: Sequence[str], files: Mapping[str, Path], options: Options) -> Job:
    """`faceskd profile` of those networks that are done, and of bicubic interpolation."""
    listed = ",".join([*(quoted(str(files[model])) for model in models), "bicubic"])
    overrides = (
        *options["shared"]["profile"],
        f"models=[{listed}]",
        f"out={_folder(options, 'profile')}",
    )
    return Job(Stage("profile", "profile", overrides), tuple(models))


def measure_landmarks(options: Options, runner: Runner, out: Path) -> dict[str, Any] | None:
    """Figure 1; None, and a failure noted, where it cannot be made."""
    from faceskd.data.dataset import FaceDataset
    from faceskd.reproduce.figure_landmarks import write_landmark_figure

    degradation = instantiate(compose("evaluate", ["faces=none", "out=none"]).degradation)
    faces = options["faces"] or out / "faces"
    try:
        dataset = FaceDataset(faces, MEASURED_SPLIT, degradation)
        return write_landmark_figure(dataset, out / LANDMARKS, show=options["show"])
    except FaceskdError as error:
        runner.failures[LANDMARKS] = str(error)
        return None


def write_interpolation(mode: str, out: Path) -> Path:
    """A method without training as a file, as `faceskd evaluate` takes them."""
    from faceskd.models.weights import build_network, save_network

    path = out / "interpolation" / f"{mode}.safetensors"
    config = compose_model(mode)
    save_network(path, build_network(config), config)
    return path


def _folder(options: Options, name: str) -> str:
    return quoted(str(Path(options["out"]) / name))
