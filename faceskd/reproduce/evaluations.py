"""The evaluations that a release adds to its plan, and the figures to look at first."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faceskd.common.arguments import quoted
from faceskd.evaluation.evaluate import BICUBIC
from faceskd.evaluation.photos import LANCZOS
from faceskd.jobs.plan import Options, weights_of

SPLIT = "val"
"""Choices are made on this split; the test split is for the final figures alone."""
NETWORK, PHOTO_NETWORK = "network", "photo_network"
"""Lists of shared overrides of trainings that make a network: one that is measured on prepared
faces, and one that is measured on whole photos. Other trainings make an encoder, or a network for
backgrounds, and have no evaluation but the validation of the training itself."""
ENLARGEMENTS = (BICUBIC, LANCZOS)
"""What networks are compared with: on prepared faces, and on whole photos."""
OF_PHOTOS = re.compile("^(lpips_squeeze_ratio|psnr_gain|identity_gain|grid_index)_[0-9]+$")


def with_evaluations(options: Options) -> dict[str, Any]:
    """The options with a job `NAME_val` after the training NAME of each network.

    A training of a network is one that uses `shared.network` or `shared.photo_network`. Where
    `only` names it, it gets its evaluation too. Such networks of `models` get a job
    `NAME_test_KIND` for each kind of face.
    """
    jobs: dict[str, Any] = {}
    trained = []
    models = {name: model for name, model in options["models"].items() if model is not None}
    for name, config in options["jobs"].items():
        jobs[name] = config
        if is_measured(options, name):
            trained.append(name)
            jobs[f"{name}_{SPLIT}"] = _evaluation(options, name, SPLIT)
    for model in models.values():
        if is_measured(options, model["job"]):
            for kind in options["report"]["kinds"]:
                split = options["report"]["split"]
                job = _evaluation(options, model["job"], split, kind)
                jobs[report_job(model["job"], split, kind)] = job
    only = options["only"]
    if only is not None:
        only = [only] if isinstance(only, str) else list(only)
        only += [f"{name}_{SPLIT}" for name in only if name in trained]
    return {**options, "jobs": jobs, "models": models, "only": only}


def is_measured(options: Options, name: str) -> bool:
    """Whether a job trains a network that is evaluated."""
    return bool({NETWORK, PHOTO_NETWORK} & _used(options, name))


def report_job(name: str, split: str, kind: str) -> str:
    """The name of the job that measures a network on one kind of face."""
    return f"{name}_{split}_{kind}"


def metrics_of(out: Path, name: str, split: str, kind: str | None = None) -> Path:
    """Where an evaluation of a training leaves its figures."""
    return out / name / (split if kind is None else f"{split}_{kind}") / "metrics.json"


def _used(options: Options, name: str) -> set[str]:
    return set((options["jobs"][name] or {}).get("uses") or ())


def _evaluation(options: Options, name: str, split: str, kind: str | None = None) -> dict[str, Any]:
    out = Path(options["out"])
    on_photos = PHOTO_NETWORK in _used(options, name)
    photos = quoted(str(Path(options["photos"] or "") / split))
    return {
        "command": "evaluate",
        "needs": ["photos" if on_photos else "faces", name],
        "uses": ["evaluate_photos" if on_photos else "evaluate"],
        "overrides": [
            f"photos={photos}" if on_photos else f"split={split}",
            *([f"kind={kind}"] if kind else []),
            f"++methods.{name}={quoted(str(weights_of(name, out)))}",
            f"out={quoted(str(metrics_of(out, name, split, kind).parent))}",
        ],
    }


def enlargement(metrics: Mapping[str, Any]) -> str:
    """The plain enlargement among the methods of an evaluation."""
    return next(name for name in ENLARGEMENTS if name in metrics)


def figures_of(values: Mapping[str, float]) -> dict[str, float]:
    """The figures to look at first: of photos, those against Lanczos, and the grid index."""
    of_photos = {name: value for name, value in values.items() if OF_PHOTOS.search(name)}
    return of_photos or dict(values)
