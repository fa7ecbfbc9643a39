"""Where a release comes from: plan, source, data, versions, machines, hours, learning curves."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from faceskd.common.config import compose
from faceskd.data.manifest import faces_sha256, read_manifest
from faceskd.data.sources import read_sources, sources_sha256
from faceskd.jobs.markers import FOLDER, LOG
from faceskd.jobs.plan import Options, read_plan
from faceskd.jobs.runner import Runner
from faceskd.reporting.curves import read_curves

PACKAGES = (
    *("faceskd", "torch", "torchvision", "pytorch-lightning", "hydra-core", "numpy", "scipy"),
    *("scikit-learn", "opencv-python", "pillow", "facenet-pytorch", "lpips", "torchmetrics"),
)
MOST_POINTS = 40
"""Of a learning curve on a card."""


def plan_sha256(options: Options) -> str:
    """The hash of all that the plan does: every setting of every job, with the seed.

    Folders are named, not given, so that it is the same wherever the plan runs. Options that do not
    change what ships, such as `slice` and `ablate`, do not count.
    """
    out = Path(options["out"])
    places = {str(out): "out"}
    for name in options["places"]:
        folder = options[name]
        if folder is not None and out not in Path(folder).parents:
            places[str(folder)] = name
    given = {name for name, job in options["jobs"].items() if job and job.get("given")}
    jobs = {name: {"command": "given"} if name in given else job
            for name, job in options["jobs"].items()}  # fmt: skip
    described: list[Any] = []
    for job in read_plan({**options, "jobs": jobs, "only": None}).values():
        settings = None
        if job.name not in given:
            cfg = compose(job.command.replace(" ", "_"), job.overrides)
            settings = _named(OmegaConf.to_container(cfg, resolve=False), places)
        described.append([job.name, job.command, list(job.needs), settings])
    kept = {name: options[name] for name in ("selection", "models", "report", "facts", "seed")}
    text = json.dumps([described, kept], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.replace("\\u0000", "\0").encode()).hexdigest()


def _named(settings: Any, places: Mapping[str, str]) -> Any:
    """Settings with names instead of the folders that `places` names."""
    if isinstance(settings, dict):
        return {key: _named(value, places) for key, value in settings.items()}
    if isinstance(settings, list):
        return [_named(value, places) for value in settings]
    if isinstance(settings, str):
        for path in sorted(places, key=len, reverse=True):
            if settings == path or settings.startswith(f"{path}/"):
                return f"\0{places[path]}\0{settings.removeprefix(path)}"
    return settings


def provenance(options: Options, runner: Runner, *, revision: str, data: Any) -> dict[str, Any]:
    """What every card of a release says of how it was made."""
    out = runner.out
    log = [json.loads(line) for line in (out / FOLDER / LOG).read_text("utf-8").splitlines()]
    jobs = [name for name in options["jobs"] if name in runner.outcomes]  # not ablations
    done = [entry for entry in log if entry["job"] in jobs]
    hours = {name: runner.outcomes[name].seconds / 3600 for name in jobs}
    table = {"table_sha256": sources_sha256(read_sources())}
    return {
        "plan": {
            "name": options["plan_name"],
            "sha256": plan_sha256(options),
            "seed": options["seed"],
            "selection": options["selection"],
            "git_revision": revision,
            "git_revisions": sorted({str(entry["git_revision"]) for entry in done}),
        },
        **({"photos": data | table} if options["jobs"].get("photos") else {}),
        **({"faces": _faces(out / "faces")} if options["jobs"].get("faces") else {}),
        "versions": {name: _version(name) for name in PACKAGES},
        "machines": _unique(entry["machine"] for entry in done),
        "hours": {name: round(value, 3) for name, value in hours.items()},
        "hours_in_all": round(sum(hours.values()), 2),
        "hours_allowed": options["hours"],
    }


def learning_curves(out: Path) -> dict[str, list[list[float]]]:
    """Validation figures of a training by name, as [step, value], at most `MOST_POINTS` each."""
    curves = {}
    for name, points in read_curves(out / "csv").items():
        if name.startswith("val/"):
            step = -(-len(points) // MOST_POINTS)
            kept = points[::-1][::step][::-1]  # the last point is always there
            curves[name] = [[at, round(value, 4)] for at, value in kept]
    return curves


def _faces(faces: Path) -> dict[str, Any]:
    return {"sha256": faces_sha256(faces), "counts": _counts(faces)}


def _counts(faces: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in read_manifest(faces):
        key = f"{record.split} {record.kind or 'unknown'}" if record.face else record.status
        counts[key] = counts.get(key, 0) + 1
    return counts


def _unique(entries: Any) -> list[Any]:
    return [json.loads(text) for text in sorted({json.dumps(entry) for entry in entries})]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
