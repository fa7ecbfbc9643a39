"""`faceskd reproduce`: train every method, measure them side by side, write the tables."""

import time
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console

from faceskd.common.arguments import quoted
from faceskd.common.checks import check_choices, check_whole
from faceskd.common.config import compose, compose_model, instantiate, listed
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.data.manifest import read_manifest
from faceskd.jobs.plan import Job, Options, given_jobs, read_plan, select_jobs, weights_of
from faceskd.jobs.runner import EXIT_UNFINISHED, RunCommand, Runner
from faceskd.models.vgg import NO_WEIGHTS
from faceskd.reproduce.checks import check_trainings
from faceskd.reproduce.page import check_page, write_page
from faceskd.reproduce.rates import complete, with_rates
from faceskd.reproduce.seeds import SEED, seeded_options, training_names
from faceskd.reproduce.tables import Evaluated

LANDMARKS = "landmarks"
MEASURED_SPLIT = "test"


def reproduce(options: Options, run_command: RunCommand, console: Console) -> int:
    """Run or resume the plan of `conf/reproduce.yaml`; write results.md and its tables.

    Args:
        options: that config, plain.
        run_command: runs a command of faceskd by name.
        console: where progress is printed.

    Returns:
        The exit status, see `Runner.report`; of several parts the first that says that there is
        more to do, else the highest. The tables have the results of all jobs that did not fail;
        there are none where there is more to do, or where `only` names some jobs.

    Raises:
        FaceskdError: an option is invalid, also one of a training; there are no prepared faces at
            `faces` or `second`; or `page` has no place for the results.
    """
    check_whole(0, show=options["show"])
    for folder in (options["faces"], options["second"]):
        if folder is not None:
            read_manifest(folder, MEASURED_SPLIT)
    if options["budget"]["encoder_weights"] is None:
        raise ConfigError(f"this budget needs a pretrained encoder: {NO_WEIGHTS}")
    runs = [(run, *planned(run)) for run in runs_of(options)]
    check_trainings({name: job for _, _, jobs in runs for name, job in jobs.items()})
    for run, _, _ in runs:
        if run["only"] is None and run["page"] is not None:
            check_page(run["page"], results_name(run))
    started, worst = time.monotonic(), 0
    for run, planned_options, jobs in runs:
        left = run["slice"] and max(1, run["slice"] - (time.monotonic() - started))
        status = _run(run, planned_options | {"slice": left}, jobs, run_command, console)
        if status == EXIT_UNFINISHED:
            return status
        worst = max(worst, status)
    return worst


def runs_of(options: Options) -> list[dict[str, Any]]:
    """The options of each part that is to be run; of one run where the budget has no parts.

    Raises:
        ConfigError: there is no such part, or other options say what to run instead of parts.
    """
    parts, asked = options["parts"], options["part"]
    others = [name for name in ("tables", "only") if options[name] is not None]
    if asked is not None and (others or not parts):
        why = f"{others[0]} says what to run" if others else "this budget has no parts"
        raise ConfigError(f"expected part=null, got {asked!r}: {why}")
    if not parts or others:
        return [{**options, "part": None}]
    names = listed(asked) or [*parts]
    check_choices(parts, part=names)
    return [{**options, **parts[name], "part": name} for name in names]


def _run(
    unplanned: Options,
    options: Options,
    jobs: Mapping[str, Job],
    run_command: RunCommand,
    console: Console,
) -> int:
    """Run one part; returns its exit status."""
    tables, whole = chosen_tables(unplanned), options["only"] is None
    runner = Runner.of(options, run_command, console)
    runner.run_all(
        jobs,
        later=len(tables) + 1 if whole else 0,
        complete=lambda job: complete(job, options, runner),
    )
    if whole and not runner.unfinished:
        measure(options, tables, runner, console)
    return runner.report()


def planned(options: Options) -> tuple[dict[str, Any], dict[str, Job]]:
    """The options with the rates, the seeds and the chosen tables; and the jobs of these.

    Raises:
        ConfigError: an option is invalid.
    """
    check_names(options)
    tables = {"tables": table_names(options), "evaluations": chosen_tables(options)}
    options = seeded_options(with_rates({**options, **tables}))
    jobs = read_plan({**options, "jobs": options["jobs"] | _given_weights(options)})
    if options["only"] is None and options["tables"] is not None:
        jobs = select_jobs(jobs, needed_jobs(options, jobs))
    return options, jobs


def _given_weights(options: Options) -> dict[str, Options]:
    """A given job for the encoder's weights, where they are a file that no job of the plan writes.

    Their content then counts in the keys of the jobs that read them, and not where they are.
    """
    weights, out = Path(options["budget"]["encoder_weights"] or ""), Path(options["out"])
    is_given = weights.is_file() and out.resolve() not in weights.resolve().parents
    return given_jobs({"encoder_weights": weights}) if is_given else {}


def check_names(options: Options) -> None:
    """Check the names of methods and evaluations before the trainings; others would be ignored.

    Raises:
        ConfigError: there is no such method or evaluation.
    """
    evaluations = options["evaluations"]
    check_choices(options["jobs"], baselines=options["baselines"])
    named = {"profile.models": options["profile"]["models"]}
    named |= {f"evaluations.{name}.methods": config["methods"]
              for name, config in evaluations.items() if config}  # fmt: skip
    for key in ("comparisons", "as_good"):
        check_choices(evaluations, **{key: [name for name, *_ in options[key]]})
        named[key] = [method for _, *pair in options[key] for method in pair]
    check_choices(
        [*options["jobs"], *options["interpolations"], *options["other_dictionaries"]], **named
    )


def chosen_tables(options: Options) -> dict[str, Any]:
    """The evaluations of `tables`, or all.

    Raises:
        ConfigError: there is no such evaluation.
    """
    known = {name: config for name, config in options["evaluations"].items() if config}
    tables = table_names(options)
    if tables is None:
        return known
    check_choices(known, tables=tables)
    return {name: known[name] for name in tables}


def table_names(options: Options) -> list[str] | None:
    """The names in `tables`, which is a name, a list of names, or null for all tables."""
    tables = options["tables"]
    return [tables] if isinstance(tables, str) else tables


def needed_jobs(options: Options, jobs: Mapping[str, Job]) -> list[str]:
    """The jobs that make the methods and the faces of the evaluations."""
    needed: list[str] = []
    for config in options["evaluations"].values():
        needed += [*config["needs"], *made_by(config["methods"], options)]
    return [name for name in dict.fromkeys(needed) if name in jobs]


def made_by(methods: Sequence[str], options: Options) -> list[str]:
    """The jobs that make methods: trainings, and for some another dictionary.

    An interpolation, which no job makes, is among them by its own name.
    """
    others = options["other_dictionaries"]
    jobs = [[*others[name].values()] if name in others else [name] for name in methods]
    return list(dict.fromkeys(chain.from_iterable(jobs)))


def results_name(options: Options) -> str:
    """What the results are called on the page: the budget, and the part or the chosen tables."""
    tables = [f"tables-{'-'.join(table_names(options) or ())}"] if options["tables"] else []
    part = [options["part"]] if options["part"] else tables
    return "-".join([options["budget"]["name"], *part])


def measure(options: Options, tables: Options, runner: Runner, console: Console) -> None:
    """Evaluate and profile what was trained; write the results.

    Args:
        options: the plan, with all trainings of its methods.
        tables: the evaluations as the config has them, without the other seeds of a method.
        runner: ran the plan.
        console: where progress is printed.
    """
    from faceskd.reproduce.report import write_results

    out = runner.out
    files = {name: write_interpolation(name, out) for name in options["interpolations"]}
    files |= {
        name: weights_of(name, out)
        for name, outcome in runner.outcomes.items()
        if outcome.job.command == "train"
    }
    files |= other_dictionaries(options, runner)
    evaluations = []
    for name, config in options["evaluations"].items():
        job = evaluation_job(name, config, files, options, runner)
        runner.run(job)
        if job.name in runner.outcomes:
            trainings = {
                method: tuple(training_names(method, options["seeds"].get(method, 1)))
                for method in tables[name]["methods"]
            }
            paper = config.get("paper")
            folder = out / job.name
            evaluations.append(Evaluated(name, config["title"], folder, trainings, paper))
    models = [name for name in options["profile"]["models"] if name in files]
    if models:
        runner.run(profile_job(models, files, options, runner))
    if runner.unfinished:
        return
    landmarks = measure_landmarks(options, runner, out) if options["figure_1"] else None
    results = write_results(options, runner, evaluations, landmarks)
    if options["page"] is not None:
        write_page(options["page"], results, results_name(options), _places(options))
    console.print(f"results: {results}", markup=False, highlight=False, soft_wrap=True)


def evaluation_job(
    name: str, config: Options, files: Mapping[str, Path], options: Options, runner: Runner
) -> Job:
    """`faceskd evaluate` of those of a table's methods that are done."""
    methods = [method for method in config["methods"] if method in files]
    job = f"evaluate_{name}"
    pictured = [method for method in methods if SEED not in method]
    overrides = [
        *options["shared"]["evaluate"],
        f"pictured=[{','.join(pictured)}]",
        *config.get("overrides", ()),
        f"faces={quoted(config['faces'])}",
        f"split={MEASURED_SPLIT}",
        f"out={_folder(options, job)}",
        *(f"++methods.{method}={quoted(str(files[method]))}" for method in methods),
    ]
    needs = [need for need in config["needs"] if options["jobs"].get(need) is not None]
    needs += _done(methods, options, runner)
    return Job(job, "evaluate", tuple(overrides), tuple(needs))


def profile_job(
    models: Sequence[str], files: Mapping[str, Path], options: Options, runner: Runner
) -> Job:
    """`faceskd profile` of those networks that are done, and of bicubic interpolation."""
    listed = ",".join([*(quoted(str(files[model])) for model in models), "bicubic"])
    overrides = (
        *options["shared"]["profile"],
        f"models=[{listed}]",
        f"out={_folder(options, 'profile')}",
    )
    return Job("profile", "profile", overrides, _done(models, options, runner))


def _done(methods: Sequence[str], options: Options, runner: Runner) -> tuple[str, ...]:
    """The jobs that made these methods."""
    return tuple(job for job in made_by(methods, options) if job in runner.outcomes)


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


def other_dictionaries(options: Options, runner: Runner) -> dict[str, Path]:
    """Weights files of trained teachers with another dictionary, by the names of the methods."""
    from faceskd.models.weights import load_network, read_weights, save_network

    files = {}
    for name, config in options["other_dictionaries"].items():
        if {config["training"], config["dictionary"]} <= set(runner.outcomes):
            trained = weights_of(config["training"], runner.out)
            dictionary = runner.outcomes[config["dictionary"]].job.output
            stored = read_weights(trained)
            files[name] = runner.out / "other_dictionaries" / f"{name}.safetensors"
            save_network(
                files[name],
                load_network(trained, dictionary),
                stored.config | {"dictionary": str(dictionary)},
                stored.metadata,
            )
    return files


def write_interpolation(mode: str, out: Path) -> Path:
    """A method without training as a file, as `faceskd evaluate` takes them."""
    from faceskd.models.weights import build_network, save_network

    path = out / "interpolation" / f"{mode}.safetensors"
    config = compose_model(mode)
    save_network(path, build_network(config), config)
    return path


def _places(options: Options) -> dict[str, str]:
    """Words for the paths of this machine. A name without a folder may be any word of the page."""
    words = {"out": "OUT", "photos": "PHOTOS", "faces": "FACES", "second": "SECOND"}
    places = {options[name]: word for name, word in words.items()}
    places[options["budget"]["encoder_weights"]] = "ENCODER"
    return {path: word for path, word in places.items() if path is not None and "/" in path}


def _folder(options: Options, name: str) -> str:
    return quoted(str(Path(options["out"]) / name))
