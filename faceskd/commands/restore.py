"""`faceskd restore -i FILE_OR_FOLDER -o FOLDER`: restore faces."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from faceskd.config import fail
from faceskd.detection import MTCNNDetector
from faceskd.errors import FaceskdError
from faceskd.export.eager import DTYPES
from faceskd.restore import Restorer
from faceskd.restore_files import RESULTS, Result, plan_jobs, restore_jobs

SHOWN_FAILURES = 10


def main(argv: Sequence[str] | None = None) -> int:
    """Restore files.

    Returns:
        0 when every file gave a face, 1 when some did not, 2 when nothing could be done.
    """
    options = _parser().parse_args(argv)
    console = Console(stderr=True, soft_wrap=True)
    try:
        jobs = plan_jobs(options.input, options.output)
        restorer = Restorer(options.weights, device=options.device, precision=options.precision)
        with _progress(console, len(jobs)) as advance:
            results = restore_jobs(
                restorer,
                jobs,
                options.output,
                detector=None if options.aligned else MTCNNDetector(min_face=options.min_face),
                batch_size=options.batch_size,
                workers=options.workers,
                on_result=advance,
            )
    except FaceskdError as error:
        raise fail(error) from None
    _report(console, results, options.output)
    return int(any(result.status != "ok" for result in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="faceskd restore", description="Restore faces.")
    add = parser.add_argument
    add("-i", "--input", required=True, metavar="PATH", help="an image or a folder of images")
    add("-o", "--output", required=True, metavar="FOLDER", help="where the results go, as PNG")
    add("-w", "--weights", metavar="FILE", help=".safetensors, .ckpt, .onnx or .pt2")
    add("--aligned", action="store_true", help="each image is one aligned face of any size")
    add("--min-face", type=float, default=24, metavar="PIXELS", help="smallest face looked for")
    add("--batch-size", type=int, default=8, metavar="N", help="faces computed at once")
    add("--workers", type=int, default=2, metavar="N", help="threads that read and write")
    add("--device", default="cpu", help="cpu or cuda")
    add("--precision", choices=sorted(DTYPES), help="by default the file's own; bf16 is faster")
    return parser


@contextmanager
def _progress(console: Console, files: int) -> Iterator[Callable[[Result], None]]:
    columns = (
        TextColumn("restoring"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    seen: set[str] = set()
    faces = 0
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=files, rate="")

        def advance(result: Result) -> None:
            nonlocal faces
            seen.add(result.source)
            faces += result.status == "ok"
            elapsed = progress.tasks[0].elapsed or 0
            rate = f"{faces / elapsed:.1f} faces/s" if elapsed else ""
            progress.update(task, completed=len(seen), rate=rate)

        yield advance


def _report(console: Console, results: Sequence[Result], out: str) -> None:
    counts = Counter(result.status for result in results)
    summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    console.print(f"{out}: {summary}; one row each in {RESULTS}", markup=False)
    failed = [result for result in results if result.status != "ok"]
    for result in failed[:SHOWN_FAILURES]:
        console.print(f"  {result.source}: {result.status}: {result.detail}", markup=False)
    if len(failed) > SHOWN_FAILURES:
        console.print(f"  and {len(failed) - SHOWN_FAILURES} more", markup=False)
