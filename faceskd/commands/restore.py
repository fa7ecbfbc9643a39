"""`faceskd restore -i PATH -o FOLDER`: restore photos, aligned faces, or a video."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from faceskd.common.config import fail
from faceskd.common.errors import ConfigError, FaceskdError
from faceskd.export.eager import DTYPES
from faceskd.pretrained import DEFAULT_STUDENT, model_path
from faceskd.restore.photo import MIN_FACE, PhotoSettings, photo_detector
from faceskd.restore.photo_files import EXTENSIONS
from faceskd.restore.photos import WholePhotos
from faceskd.restore.plan import plan_inputs
from faceskd.restore.restorer import BATCH_SIZE, Restorer
from faceskd.restore.stream import FAILURES, RESULTS, AlignedFaces, Result, Task, restore_inputs
from faceskd.restore.video import is_video, passes, restore_video

SHOWN_FAILURES = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Restore files.

    Returns:
        0 when every file could be read and its results written, 1 when some could not, 2 when
        nothing could be done.
    """
    options = _parser().parse_args(argv)
    console = Console(stderr=True, soft_wrap=True)
    try:
        return _restore(options, console)
    except FaceskdError as error:
        raise fail(error) from None


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
    if is_video(options.input):
        if options.aligned:
            raise ConfigError("--aligned is for images, but the input is a video")
        return _restore_video(restorer, settings, options, console)
    task: Task = AlignedFaces()
    if not options.aligned:
        paste_back = not options.no_paste_back
        task = WholePhotos(restorer.detector, settings, paste_back=paste_back, ext=options.ext)
    inputs = plan_inputs(
        options.input, options.output, folders=task.folders, suffixes=task.suffixes
    )
    with _progress(console, len(inputs), "faces") as advance:
        results = restore_inputs(
            restorer,
            inputs,
            options.output,
            task,
            workers=options.workers,
            on_results=lambda results: advance(sum(bool(result.output) for result in results)),
        )
    return _report(console, results, options.output)


def _restore_video(
    restorer: Restorer, settings: PhotoSettings, options: argparse.Namespace, console: Console
) -> int:
    with _progress(console, passes(options.input), "frames") as advance:
        summary = restore_video(
            restorer, options.input, options.output, settings, on_frame=lambda: advance(1)
        )
    console.print(f"{summary.path}: {summary}", markup=False, highlight=False)
    return 0


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
    for result in failed[:SHOWN_FAILURES]:
        console.print(f"  {result.source}: {result.status}: {result.message}", markup=False)
    if len(failed) > SHOWN_FAILURES:
        console.print(f"  and {len(failed) - SHOWN_FAILURES} more", markup=False)
    return int(bool(failed))
