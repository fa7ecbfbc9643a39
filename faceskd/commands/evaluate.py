"""`faceskd evaluate faces=FACES methods.student=FILE out=DIR`: the quality of networks."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from faceskd.common.checks import check_choice, check_choices
from faceskd.common.config import given_options, hydra_main, instantiate, listed, to_plain
from faceskd.common.errors import ConfigError, DictionaryError, WeightsError
from faceskd.common.files import make_folder, sha256
from faceskd.common.machine import set_threads
from faceskd.data.manifest import of_kind, read_manifest
from faceskd.pretrained import weights_path

if TYPE_CHECKING:
    from faceskd.evaluation.evaluate import Evaluation, Precision


ONLY_OF_PHOTOS = ("photos", "sizes", "limit")
"""Options of `conf/evaluate.yaml` that prepared faces do not take."""


def evaluate_files(
    *,
    faces: str,
    split: str,
    kind: str | None = None,
    out: str,
    methods: Mapping[str, str | None],
    degradation: Any,
    dictionary: str | None = None,
    metrics: Sequence[str],
    groups: str | None = None,
    face_model: str | None = None,
    allow_download: bool = False,
    seed: int = 0,
    batch_size: int = 8,
    precision: "Precision" = "fp32",
    device: str = "cpu",
    threads: int | None = None,
    show: int = 6,
    pictured: Sequence[str] | None = None,
    privileged: Sequence[str] = (),
) -> "Evaluation":
    """Evaluate networks on a folder of prepared faces; write the report to `out`.

    The arguments are the options of `conf/evaluate.yaml`. A method is a weights file or the name of
    a released model; methods that are None are left out. All paths are checked before the work
    starts.

    Raises:
        FaceskdError: a file or folder is missing or cannot be used, or a setting is invalid.
    """
    records = read_manifest(faces, split)
    if kind is not None:
        of_kind(records, kind)
    files = {name: weights_path(path) for name, path in methods.items() if path is not None}
    for name, path in files.items():
        if not Path(path).is_file():
            raise WeightsError(f"expected a weights file of {name!r} at {path!r}, found none")
    if dictionary is not None and not Path(dictionary).is_file():
        raise DictionaryError(f"expected a dictionary file at {dictionary!r}, found none")
    if face_model is not None and not Path(face_model).is_file():
        raise ConfigError(f"expected an ONNX file of face_model at {face_model!r}, found none")
    check_choices(files, pictured=pictured or ())
    check_choice(("skin_tone", None), groups=groups)
    make_folder(out)

    from faceskd.data.dataset import FaceDataset
    from faceskd.evaluation.evaluate import evaluate
    from faceskd.evaluation.report import write_report
    from faceskd.evaluation.skin_tones import compare_skin_tones
    from faceskd.metrics import COLOUR_NAMES, MetricSuite
    from faceskd.models.base import SuperResolver
    from faceskd.models.weights import load_network

    set_threads(threads)
    suite = MetricSuite(
        [*metrics, *(name for name in COLOUR_NAMES if groups and name not in metrics)],
        device=device,
        allow_download=allow_download,
        face_model=face_model,
    )
    networks = {name: load_network(path, dictionary) for name, path in files.items()}
    sizes = {network.size for network in networks.values()} or {SuperResolver.size}
    if len(sizes) > 1:
        raise ConfigError(f"expected networks for faces of one size, got {sorted(sizes)} px")
    dataset = FaceDataset(faces, split, degradation, seed=seed, kind=kind, size=sizes.pop())
    kinds = {Path(record.face).stem: record.kind for record in dataset.records}
    evaluation = evaluate(
        networks,
        dataset,
        suite,
        batch_size=batch_size,
        precision=precision,
        device=device,
        show=show,
        privileged=privileged,
    )
    extra: dict[str, Any] = {"faces_folder": faces, "split": split, "kind": kind, "seed": seed}
    extra["degradation"] = repr(degradation)
    extra["weights_sha256"] = {name: sha256(path) for name, path in files.items()}
    tones = compare_skin_tones(evaluation, networks, dataset) if groups else None
    extra["methods"] = files
    write_report(evaluation, out, extra=extra, tones=tones, kinds=kinds, pictured=pictured)
    return evaluation


@hydra_main("evaluate")
def main(cfg: DictConfig) -> None:
    """Measure networks on prepared faces, or on whole photos; write a report; print the table."""
    from rich.console import Console

    if cfg.photos is not None:
        return _main_of_photos(cfg)

    from faceskd.evaluation.report import evaluation_table

    _refuse_without_effect("faces", {str(key) for key in cfg} - {*ONLY_OF_PHOTOS} | {"photos"})
    options = {key: value for key, value in to_plain(cfg).items() if key not in ONLY_OF_PHOTOS}
    options["metrics"] = listed(options["metrics"])
    options["pictured"] = options["pictured"] and listed(options["pictured"])
    evaluation = evaluate_files(**options | {"degradation": instantiate(options["degradation"])})
    console = Console()
    console.print(evaluation_table(evaluation))
    for name, why in evaluation.unavailable.items():
        console.print(f"{name} was not measured: {why}", style="yellow", markup=False)
    report = Path(options["out"], "report.md")
    console.print(f"report: {report}", markup=False, highlight=False, soft_wrap=True)


def _main_of_photos(cfg: DictConfig) -> None:
    from rich.console import Console

    from faceskd.evaluation.photo_report import summary_rows
    from faceskd.reporting.tables import rich_table
    from faceskd.restore.evaluation import OPTIONS, evaluate_photo_files

    _refuse_without_effect("photos", OPTIONS)
    evaluation = evaluate_photo_files(**to_plain(OmegaConf.masked_copy(cfg, list(OPTIONS))))
    console = Console()
    console.print(rich_table(summary_rows(evaluation)))
    for name, why in evaluation.unavailable.items():
        console.print(f"{name} was not measured: {why}", style="yellow", markup=False)
    for name, why in evaluation.left_out.items():
        console.print(f"{name} was left out: {why}", style="yellow", markup=False)
    report = Path(cfg.out, "report.md")
    console.print(f"report: {report}", markup=False, highlight=False, soft_wrap=True)


def _refuse_without_effect(source: str, known: Collection[str]) -> None:
    """Refuse options of the command line that an evaluation on faces or photos does not take."""
    for name, word in given_options("evaluate").items():
        if name not in known:
            raise ConfigError(
                f"expected with {source}= only the options {', '.join(sorted(known))}, got "
                f"{word!r}, which has no effect"
            )


if __name__ == "__main__":
    main()
