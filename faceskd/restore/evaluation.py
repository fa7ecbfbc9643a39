"""Evaluate restorers on whole photos: `faceskd evaluate photos=PORTRAITS +methods.NAME=FILE`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceskd.common.checks import check_whole
from faceskd.common.errors import ConfigError, WeightsError
from faceskd.common.files import make_folder, sha256
from faceskd.common.machine import set_threads
from faceskd.evaluation.portraits import Portraits, check_sizes
from faceskd.pretrained import weights_path

if TYPE_CHECKING:
    from faceskd.evaluation.photos import PhotoEvaluation
    from faceskd.restore.restorer import Restorer

OPTIONS = (
    *("photos", "kind", "sizes", "limit", "out", "methods", "face_model", "allow_download"),
    *("seed", "precision", "device", "threads", "show"),
)
"""Options of `conf/evaluate.yaml` that whole photos take."""


def evaluate_photo_files(
    *,
    photos: str,
    out: str,
    methods: Mapping[str, str | None],
    sizes: Sequence[int],
    kind: str | None = None,
    limit: int | None = None,
    face_model: str | None = None,
    allow_download: bool = False,
    seed: int = 0,
    precision: str = "fp32",
    device: str = "cpu",
    threads: int | None = None,
    show: int = 6,
) -> "PhotoEvaluation":
    """Make bad photos of portraits, restore them by each method, and write the report into `out`.

    Arguments are the options of `conf/evaluate.yaml`. A method is a file, or the name of a released
    model.

    Raises:
        FaceskdError: a file or folder is missing or unusable, or a setting is impossible.
    """
    files = {name: method_file(given) for name, given in methods.items() if given is not None}
    if not files:
        raise ConfigError("expected at least one method, got none: +methods.NAME=FILE")
    sizes = check_sizes(sizes)
    portraits = Portraits(photos, limit, seed=seed, kind=kind)
    check_whole(0, show=show)
    if face_model is not None and not Path(face_model).is_file():
        raise ConfigError(f"face_model is expected to be an ONNX file, none at {face_model!r}")
    make_folder(out)

    import torch

    from faceskd.evaluation.photo_report import METRICS, Examples, write_photo_report
    from faceskd.evaluation.photos import evaluate_photos
    from faceskd.metrics import MetricSuite
    from faceskd.restore.restorer import Restorer

    set_threads(threads)
    suite = MetricSuite(
        METRICS, device=device, allow_download=allow_download, face_model=face_model
    )
    restorers = {
        name: Restorer(path, device=device, precision=precision) for name, path in files.items()
    }
    examples = Examples(show)
    evaluation = evaluate_photos(
        {name: partial(_restored, restorer) for name, restorer in restorers.items()},
        portraits.cases(sizes),
        suite,
        on_case=examples,
    )
    evaluation = replace(evaluation, left_out=portraits.left_out)
    settings: dict[str, Any] = {"photos": photos, "kind": kind, "portraits": len(portraits.paths)}
    settings["enlarged portraits"] = len(portraits.enlarged)
    settings |= {"sizes": sizes, "seed": seed, "precision": precision, "device": device}
    settings |= {"threads": torch.get_num_threads()}
    settings["weights_sha256"] = {name: sha256(path) for name, path in files.items()}
    write_photo_report(evaluation, out, settings=settings, examples=examples)
    return evaluation


def method_file(given: str) -> Path:
    """The file of a method: a path, or the name of a released model.

    Raises:
        WeightsError: there is no such file.
    """
    path = Path(weights_path(given))
    if not path.is_file():
        raise WeightsError(
            f"expected a file of weights or the name of a released model, got {given!r}"
        )
    return path


def _restored(restorer: "Restorer", photo: Any, scale: float) -> Any:
    return restorer(photo, scale=scale).image
