"""`faceskd restore -i PATH -o FOLDER`: restore photos, aligned faces, or a video."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from faceskd.common.config import errors_end_command
from faceskd.common.errors import ConfigError, ImageError, WeightsError
from faceskd.common.stopping import EXIT_STOPPED, terminating_as_interrupted
from faceskd.data.picture import FAILURES
from faceskd.export.eager import DTYPES
from faceskd.faces.lr_faces import LR_SIZE
from faceskd.pretrained import DEFAULT_STUDENT, SCENE, available_models, model_path
from faceskd.restore.background import BACKGROUNDS, LANCZOS
from faceskd.restore.old_photos import Repair
from faceskd.restore.photo import MIN_FACE, PhotoSettings, photo_detector
from faceskd.restore.photo_face import AUTO, FACES, SKIP
from faceskd.restore.photo_files import EXTENSIONS
from faceskd.restore.photos import WholePhotos
from faceskd.restore.plan import plan_inputs
from faceskd.restore.restorer import BATCH_SIZE, Restorer
from faceskd.restore.results import RESULTS, Result
from faceskd.restore.stream import AlignedFaces, Batches, Task, restore_inputs
from faceskd.restore.video import passes
from faceskd.restore.whole_pictures import (
    PictureRestorer,
    Translator,
    WholePictures,
    check_translatable,
)

SHOWN_FAILURES = 10

PHOTO, OLD, SCRATCHED, DRAWING, TRANSLATION = KINDS = (
    *("photo", "old", "old-scratched"),
    *("drawing", "translation"),
)

FOR_DRAWINGS, FOR_OLD, FOR_SCRATCHED = ("noise",), ("old_weights",), ("scratch_weights", "masks")
"""Options that only these kinds use."""

FOR_WHOLE_PHOTOS = (
    *("scale", "strength", "faces", "background", "scene_weights", "only_center_face", "min_face"),
    *("no_paste_back", "ext"),
)
"""Options that have no effect with --aligned."""

FOR_PASTING = ("background", "scene_weights", "ext")
"""Options that have no effect with --no-paste-back."""

FOR_RESTORED_FACES = ("strength", "fidelity", "faithful_weights")
"""Options that have no effect with --faces skip."""

FOR_PHOTOS = (
    *("model", "strength", "faces", "fidelity", "faithful_weights", "background"),
    *("scene_weights", "only_center_face", "min_face", "no_paste_back", "aligned", "batch_size"),
)
"""Options that only photos use."""


def main(argv: Sequence[str] | None = None) -> int:
    """Restore files.

    Returns:
        0 when every image and video could be read and its results written, 1 when some could not,
        or only a part of a video, 2 when nothing could be done, 130 when it was stopped (Ctrl-C or
        SIGTERM). Files that are no images and no videos do not count.
    """
    options = _parser().parse_args(argv)
    console = Console(stderr=True, soft_wrap=True)
    try:
        with errors_end_command(), terminating_as_interrupted():
            return _restore(options, console)
    except KeyboardInterrupt:
        console.print(f"stopped; what was done is in {RESULTS} of {options.output}", markup=False)
        return EXIT_STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="faceskd restore",
        description="Restore the faces of photos and videos, and enlarge the rest of the picture; "
        "or restore drawings. Faces are found in any turn. Only what a face lacks is added; "
        "results.csv says for each face what was done, or why it was left.",
    )
    add = parser.add_argument
    # fmt: off
    add("-i", "--input", required=True, metavar="PATH",
        help="an image, a video, or a folder of them")
    add("-o", "--output", required=True, metavar="FOLDER", help="the folder to write results to")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-m", "--model", metavar="NAME", default=DEFAULT_STUDENT,
                        help=f"a model of the package; default: {DEFAULT_STUDENT}")
    source.add_argument("-w", "--weights", metavar="FILE",
                        help="a model of your own: .safetensors, .ckpt, .onnx or .pt2")
    add("--kind", default=PHOTO, choices=KINDS,
        help="photo: the faces are restored, the rest is enlarged; old: an old photo is repaired "
        "first; old-scratched: its scratches and folds, too; drawing: line art and flat colours, "
        "as a whole, 1 to 4 times as large; translation: into a picture of another kind, such as "
        "day to night, at its size; default: photo")
    add("--old-weights", metavar="FILE",
        help="the model that repairs old photos; without it, --kind old-scratched fills scratches "
        "in from what surrounds them, and repairs nothing else")
    add("--scratch-weights", metavar="FILE",
        help="the model that finds scratches, for --kind old-scratched")
    add("--masks", metavar="FOLDER",
        help="for --kind old-scratched: NAME.png marks the scratches of the photo NAME in white; "
        "photos without one are searched by --scratch-weights, if given")
    add("--noise", type=int, default=1, choices=range(4), metavar="N",
        help="for drawings, chooses one of four models: 0: never compressed, 1 to 3: light to "
        "strong JPEG compression; none comes with the package yet; default: 1")
    add("-s", "--scale", type=float, default=2, metavar="N",
        help="enlarge photos and videos N times, 1 to 8, drawings 1 to 4 times; default: 2")
    add("--strength", type=float, default=1, metavar="X",
        help="how much of the new detail to add, 0 (none) to 1 (all); default: 1")
    add("--faces", default=AUTO, choices=FACES,
        help="auto: add the detail that each face lacks; force: replace all detail of every face, "
        "even of large and sharp ones; skip: only enlarge; default: auto")
    add("--fidelity", type=float, default=0, metavar="X",
        help="0: all detail; 1: as close to the input as possible; with --faithful-weights the "
        "weights of both files are interpolated, without it the face is blended with its input; "
        "for models for photos: photo-m, photo-s, your own; default: 0")
    add("--faithful-weights", metavar="FILE",
        help="another training of the same model that stays closer to the input, for --fidelity")
    add("--background", default=LANCZOS, choices=BACKGROUNDS,
        help="how the rest of the picture is enlarged; scene: by a model; none: "
        f"pixels are repeated; default: {LANCZOS}")
    add("--scene-weights", metavar="FILE",
        help=f"the model for --background scene; default: {SCENE}, of the package")
    add("--only-center-face", action="store_true",
        help="restore only the face nearest to the centre")
    add("--min-face", type=float, default=MIN_FACE, metavar="PX",
        help=f"look for faces at least this high, in pixels of the photo; default: {MIN_FACE}")
    add("--no-paste-back", action="store_true",
        help="write the faces only, not the photos; not for videos")
    add("--ext", default="auto", choices=EXTENSIONS,
        help="format of the photos written; auto: the format they came in; default: auto")
    add("--aligned", action="store_true",
        help="each image is one aligned face of any size; its result is as large as the model's")
    add("--batch-size", type=_count, default=BATCH_SIZE, metavar="N",
        help="faces that the model takes at once; on a CPU, models for photos always take one; "
        f"default: {BATCH_SIZE}")
    add("--workers", type=_count, default=2, metavar="N",
        help="threads that read and search photos, and as many that write; default: 2")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 ...; default: cpu")
    add("--precision", default="auto", choices=("auto", *sorted(DTYPES)),
        help="numbers to compute with; auto: bf16 on processors that have instructions for it, "
        "else those of the file")
    # fmt: on
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _restore(options: argparse.Namespace, console: Console) -> int:
    _refuse_without_effect(options)
    restorer, task = {DRAWING: _drawings, TRANSLATION: _translations}.get(options.kind, _photos)(
        options
    )
    inputs = plan_inputs(
        options.input, options.output, folders=task.folders, suffixes=task.suffixes
    )
    only_video = [given.kind for given in inputs] == ["video"]
    for name in ("aligned", "no_paste_back"):
        if getattr(options, name) and only_video:
            raise ConfigError(f"{_option(name)} is for images, but the input is a video")
    run = partial(restore_inputs, restorer, inputs, options.output, task, workers=options.workers)
    if isinstance(task, WholePhotos) and only_video:
        with _progress(console, _passes(inputs[0].path), "frames") as advance:
            task.on_frame = lambda: advance(1)
            return _report(console, run(), options.output)
    unit = "pictures" if isinstance(task, WholePictures) else "faces"
    with _progress(console, len(inputs), unit) as advance:
        results = run(on_results=lambda done: advance(sum(bool(one.output) for one in done)))
    return _report(console, results, options.output)


def _refuse_without_effect(options: argparse.Namespace) -> None:
    """Raise a ConfigError for an option that the kind of restoration does not use."""
    unused = {
        PHOTO: (*FOR_DRAWINGS, *FOR_OLD, *FOR_SCRATCHED),
        OLD: (*FOR_DRAWINGS, *FOR_SCRATCHED, "aligned"),
        SCRATCHED: (*FOR_DRAWINGS, "aligned"),
        DRAWING: (*FOR_PHOTOS, *FOR_OLD, *FOR_SCRATCHED),
        TRANSLATION: (*FOR_DRAWINGS, *FOR_PHOTOS, *FOR_OLD, *FOR_SCRATCHED, "scale"),
    }[options.kind]
    _refuse(options, unused, f"--kind {options.kind}")
    if options.aligned:
        _refuse(options, FOR_WHOLE_PHOTOS, "--aligned")
    if options.no_paste_back:
        _refuse(options, FOR_PASTING, "--no-paste-back")
    if options.faces == SKIP:
        _refuse(options, FOR_RESTORED_FACES, f"--faces {SKIP}")
    if not options.fidelity:
        _refuse(options, ("faithful_weights",), "--fidelity 0")
    if options.background != SCENE:
        _refuse(options, ("scene_weights",), f"--background {options.background}")


def _refuse(options: argparse.Namespace, unused: Sequence[str], with_what: str) -> None:
    parser = _parser()
    given = [name for name in unused if getattr(options, name) != parser.get_default(name)]
    if given:
        names = ", ".join(map(_option, given))
        raise ConfigError(f"{names} has no effect with {with_what}; leave it out")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _drawings(options: argparse.Namespace) -> tuple[Batches, Task]:
    if options.weights:
        _refuse(options, FOR_DRAWINGS, "--weights")
    elif options.noise == 0 and options.scale == 1:
        raise ConfigError("expected --noise 1 to 3, or a --scale above 1, got nothing to do")
    restorer = PictureRestorer(
        options.weights or _drawing_model(options.noise),
        scale=options.scale,
        device=options.device,
        precision=options.precision,
    )
    return restorer, WholePictures(alpha=True, ext=options.ext, check=restorer.size)


def _drawing_model(noise: int) -> Path:
    name = f"drawing-{noise}"
    if name not in {model.name for model in available_models()}:
        raise WeightsError(
            "expected --weights for --kind drawing, got none: no model for drawings comes with the "
            "package yet; `faceskd train experiment=drawing` trains one (docs/train.md)"
        )
    return model_path(name, role="scene")


def _translations(options: argparse.Namespace) -> tuple[Batches, Task]:
    if options.weights is None:
        raise WeightsError(
            "expected --weights for --kind translation, got none: `faceskd train "
            "experiment=seasons` trains them"
        )
    restorer = Translator(options.weights, device=options.device, precision=options.precision)
    return restorer, WholePictures(alpha=False, ext=options.ext, check=check_translatable)


def _photos(options: argparse.Namespace) -> tuple[Batches, Task]:
    settings = PhotoSettings(
        options.scale,
        options.strength,
        options.only_center_face,
        options.faces,
        options.background,
    )
    restorer = Restorer(
        options.weights or model_path(options.model, role="student"),
        faithful=options.faithful_weights,
        fidelity=options.fidelity,
        scene=_scene_weights(options),
        device=options.device,
        precision=options.precision,
        batch_size=options.batch_size,
        detector=photo_detector(options.min_face),
    )
    settings = restorer.adapted(settings)
    if options.aligned:
        return restorer, AlignedFaces(restorer.frame or LR_SIZE)
    task = WholePhotos(
        restorer.detector,
        settings,
        scene=restorer.scene,
        repair=_repair(options),
        paste_back=not options.no_paste_back,
        ext=options.ext,
    )
    return restorer, task


def _scene_weights(options: argparse.Namespace) -> str | Path | None:
    if options.background == SCENE and options.scene_weights is None:
        return model_path(SCENE, role="scene")
    return options.scene_weights


def _repair(options: argparse.Namespace) -> Repair | None:
    """What repairs old photos; None for other kinds."""
    if options.kind == PHOTO:
        return None
    if options.kind == OLD and options.old_weights is None:
        raise WeightsError(
            f"expected --old-weights for --kind {OLD}, got none: no model of the package repairs "
            "old photos yet; docs/old_photos.md shows how to train one"
        )
    if options.kind == SCRATCHED and options.scratch_weights is None and options.masks is None:
        raise WeightsError(
            f"expected --scratch-weights or --masks for --kind {SCRATCHED}, got neither: a mask "
            "marks the scratches in white; docs/old_photos.md shows how to make one"
        )
    return Repair(
        options.old_weights,
        scratches=options.scratch_weights,
        masks=options.masks,
        device=options.device,
    )


def _passes(video: Path) -> int | None:
    """Frames of both passes over a video; None where that is not known, or it is damaged."""
    try:
        return passes(video)
    except ImageError:
        return None


@contextmanager
def _progress(console: Console, files: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """A bar of files; what it yields is told, after each file, how many units it gave."""
    columns = (
        TextColumn("restoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    units = 0
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=files, rate="")

        def advance(count: int) -> None:
            nonlocal units
            units += count
            elapsed = progress.tasks[0].elapsed or 0
            rate = f"{units / elapsed:.1f} {unit}/s" if elapsed else ""
            progress.update(task, advance=1, rate=rate)

        yield advance


def _report(console: Console, results: Sequence[Result], out: str) -> int:
    counts = Counter(result.status for result in results)
    summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    console.print(f"{out}: {summary}; one row each in {RESULTS}", markup=False)
    failed = [result for result in results if result.status in FAILURES]
    told = [result for result in results if result.message] if len(results) == 1 else failed
    for result in told[:SHOWN_FAILURES]:
        console.print(f"  {result.source}: {result.status}: {result.message}", markup=False)
    if len(told) > SHOWN_FAILURES:
        console.print(f"  and {len(told) - SHOWN_FAILURES} more", markup=False)
    noted = sum(bool(result.message) for result in results) - len(told)
    if noted:
        console.print(f"  {noted} other rows have a message in {RESULTS}", markup=False)
    return int(bool(failed))
