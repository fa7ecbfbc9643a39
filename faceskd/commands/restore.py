"""`faceskd restore -i PATH -o FOLDER`: restore photos, aligned faces, or a video."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from faceskd.common.config import fail
from faceskd.common.errors import ConfigError, FaceskdError, ImageError
from faceskd.common.stopping import EXIT_STOPPED, terminating_as_interrupted
from faceskd.data.picture import FAILURES
from faceskd.export.eager import DTYPES
from faceskd.pretrained import DEFAULT_STUDENT, model_path
from faceskd.restore.photo import MIN_FACE, PhotoSettings, photo_detector
from faceskd.restore.photo_files import EXTENSIONS
from faceskd.restore.photos import WholePhotos
from faceskd.restore.plan import plan_inputs
from faceskd.restore.restorer import BATCH_SIZE, Restorer
from faceskd.restore.results import RESULTS, Result
from faceskd.restore.stream import AlignedFaces, Task, restore_inputs
from faceskd.restore.video import passes

SHOWN_FAILURES = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Restore files.

    Returns:
        0 when every image and video could be read and its results written, 1 when some could not,
        2 when nothing could be done, 130 when it was stopped (Ctrl-C or SIGTERM). Files that are
        no images and no videos do not count.
    """
    options = _parser().parse_args(argv)
    console = Console(stderr=True, soft_wrap=True)
    try:
        with terminating_as_interrupted():
            return _restore(options, console)
    except FaceskdError as error:
        raise fail(error) from None
    except KeyboardInterrupt:
        console.print(f"stopped; what was done is in {RESULTS} of {options.output}", markup=False)
        return EXIT_STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="faceskd restore",
        description="Restore the faces of photos, and enlarge the rest.",
    )
    add = parser.add_argument
    add("-i", "--input", required=True, metavar="PATH", help="an image, a folder of them, a video")
    add("-o", "--output", required=True, metavar="FOLDER", help="where the results go")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-m", "--model", metavar="NAME", default=DEFAULT_STUDENT,
                        help=f"a student of the package; default {DEFAULT_STUDENT}")  # fmt: skip
    source.add_argument("-w", "--weights", metavar="FILE", help=".safetensors, .ckpt, .onnx, .pt2")
    add("-s", "--scale", type=float, default=2, metavar="N", help="enlargement, 1 to 8; default 2")
    add(
        "--strength", type=float, default=1, metavar="X", help="0 keeps the input, 1 is the default"
    )
    add("--only-center-face", action="store_true", help="leave all faces but the most central")
    add("--min-face", type=float, default=MIN_FACE, metavar="PX", help="smallest face looked for")
    add("--no-paste-back", action="store_true", help="write faces only, no restored_imgs/")
    add("--ext", default="auto", choices=EXTENSIONS, help="format of photos; auto: as they came")
    add("--aligned", action="store_true", help="each image is one aligned face of any size")
    add("--batch-size", type=int, default=BATCH_SIZE, metavar="N", help="faces computed at once")
    add("--workers", type=int, default=2, metavar="N", help="threads that read, and that write")
    add("--device", default="cpu", help="cpu or cuda")
    precisions = ("auto", *sorted(DTYPES))
    add("--precision", default="auto", choices=precisions, help="auto: bf16 where it is faster")
    return parser


def _restore(options: argparse.Namespace, console: Console) -> int:
    settings = PhotoSettings(options.scale, options.strength, options.only_center_face)
    restorer = Restorer(
        options.weights or model_path(options.model, role="student"),
        device=options.device,
        precision=options.precision,
        batch_size=options.batch_size,
        detector=photo_detector(options.min_face),
    )
    task: Task = AlignedFaces()
    if not options.aligned:
        paste_back = not options.no_paste_back
        task = WholePhotos(restorer.detector, settings, paste_back=paste_back, ext=options.ext)
    inputs = plan_inputs(
        options.input, options.output, folders=task.folders, suffixes=task.suffixes
    )
    only_video = [given.kind for given in inputs] == ["video"]
    if options.aligned and only_video:
        raise ConfigError("--aligned is for images, but the input is a video")
    run = partial(restore_inputs, restorer, inputs, options.output, task, workers=options.workers)
    if isinstance(task, WholePhotos) and only_video:
        with _progress(console, _passes(inputs[0].path), "frames") as advance:
            task.on_frame = lambda: advance(1)
            return _report(console, run(), options.output)
    with _progress(console, len(inputs), "faces") as advance:
        results = run(on_results=lambda done: advance(sum(bool(face.output) for face in done)))
    return _report(console, results, options.output)


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
