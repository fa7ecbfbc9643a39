"""Files in the folder of a plan: a marker for each job, tracebacks of failures, a log."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from faceskd.common.errors import FaceskdError
from faceskd.common.files import held, make_folder, write_text
from faceskd.common.machine import git_revision, machine_summary

FOLDER = "jobs"
LOG = "log.jsonl"


@dataclass(frozen=True)
class Marker:
    """The state of a job that was started.

    Attributes:
        key: key of the job when it was started (`faceskd.jobs.keys.job_key`).
        command: command line, as a user would type it.
        done: whether it was completed.
        seconds: time in all calls together.
        peak_memory_mib: peak memory of the process until the end of the job, in MiB.
    """

    key: str
    command: str
    done: bool = False
    seconds: float = 0.0
    peak_memory_mib: float = 0.0


class Markers:
    """The folder `<out>/jobs/` with `NAME.json`, `NAME.lock`, `NAME.error.txt` and `log.jsonl`."""

    def __init__(self, out: Path | str) -> None:
        self.folder = make_folder(Path(out) / FOLDER)

    def read(self, name: str, key: str) -> Marker | None:
        """The marker of a job that was started with this key; None if there is none."""
        try:
            marker = Marker(**json.loads(self._path(name).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):  # none, or another version's
            return None
        return marker if marker.key == key else None

    def write(self, name: str, marker: Marker) -> None:
        """Write the marker of a job, atomically."""
        write_text(self._path(name), json.dumps(asdict(marker), indent=2))

    def clear(self, name: str, line: str, output: Path | None) -> None:
        """Delete the output of a job with another key, so that nothing resumes from it.

        Only files in the folder of the plan are deleted.

        Args:
            name: name of the job.
            line: command line of the job.
            output: file or folder that the command writes, if it is known.

        Raises:
            FaceskdError: `output` contains files that no job of this plan wrote.
        """
        if output is None or self.folder.parent.resolve() not in output.resolve().parents:
            return
        if not self._path(name).is_file() and _holds_something(output):
            raise FaceskdError(
                f"expected nothing at {str(output)!r}, found what this plan did not make: move it, "
                "or give another out"
            )
        self.write(name, Marker("", line))  # from here on the output belongs to no key
        if output.is_dir() and not output.is_symlink():
            shutil.rmtree(output)
        else:
            output.unlink(missing_ok=True)

    def note_error(self, name: str, text: str | None) -> None:
        """Write the traceback of a failure to a file; None deletes that of an earlier failure."""
        path = self.folder / f"{name}.error.txt"
        if text is None:
            path.unlink(missing_ok=True)
        else:
            write_text(path, text)

    def log(self, name: str, line: str, result: str, seconds: float) -> None:
        """Append the result of a call, with time, machine and git revision, to `log.jsonl`."""
        entry: dict[str, Any] = {
            "job": name,
            "command": line,
            "result": result,
            "seconds": round(seconds, 1),
            "time": datetime.now().astimezone().isoformat(timespec="seconds"),
            **_origin(),
        }
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")

    @contextmanager
    def lock(self, name: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Within the block, no other process runs this job.

        The system releases the lock when the process ends, for any reason.

        Args:
            name: name of the job.
            on_wait: called before waiting for another process.
        """
        with held(self.folder / f"{name}.lock", on_wait):
            yield

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


@cache
def _origin() -> dict[str, Any]:
    """The machine, and the git revision of the source."""
    return {"machine": machine_summary(), "git_revision": git_revision()}


def _holds_something(path: Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.exists()
