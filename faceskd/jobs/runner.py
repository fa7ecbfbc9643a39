"""Run the jobs of a plan, each only once.

A job is done if its key was completed. The key is a hash of its command line, of the keys and
products of the jobs it needs, and of the content of what is given and named in its command. If the
key changes, the output is deleted and the job starts again. A job that was interrupted with the
same key resumes. The traceback of a failed job is written to a file. Jobs that need a failed job
are skipped; the others run. If a command could not do some of its files, such as damaged photos,
the jobs that need it run with the others, and the next call tries these files again.
"""

import gc
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from faceskd.common.checks import is_number
from faceskd.common.config import EXIT_SOME_FAILED, EXIT_UNFINISHED
from faceskd.common.errors import ConfigError, FaceskdError, reason
from faceskd.common.machine import peak_memory_mib
from faceskd.jobs.keys import (
    content_digest,
    job_key,
    state_of,
    values_without_places,
    without_places,
)
from faceskd.jobs.markers import Marker, Markers
from faceskd.jobs.plan import Job, Options

LIMITED = {"train": "trainer.max_time={}"}
"""Command -> override that sets its time limit."""
FIRST_SIGNAL = 128
"""An exit status above this means: ended by the signal with number status - 128."""
DONE, IN_PART, UNFINISHED, FAILED = "done", "done in part", "unfinished", "failed"
"""Results of a call. "done in part": some files failed, and the next call tries them again."""

RunCommand = Callable[[str, Sequence[str]], int]
"""Function that runs a command of faceskd in this process and returns its exit status."""


@dataclass(frozen=True)
class Outcome:
    """A finished job.

    Attributes:
        job: the job.
        seconds: its time in all calls together.
        peak_memory_mib: its peak memory.
        cached: whether an earlier call did it.
        in_part: whether its command could not do some files.
    """

    job: Job
    seconds: float
    peak_memory_mib: float
    cached: bool = False
    in_part: bool = False


class Runner:
    """Runs jobs one after another and keeps their results.

    Args:
        out: folder of the plan; markers, tracebacks and the log are in `<out>/jobs/`.
        run_command: function that runs a command by its name.
        console: console for progress messages.
        restart: run every job again.
        seconds: time limit. A training stops at its next checkpoint; other jobs are completed. Each
            call does at least one job, or a part of a training.

    Attributes:
        outcomes: finished jobs, in the order they were run.
        failures: reason for each job that failed or was skipped.
        unfinished: whether the time limit was reached before all jobs were done.
    """

    def __init__(
        self,
        out: Path | str,
        run_command: RunCommand,
        console: Console,
        *,
        restart: bool = False,
        seconds: float | None = None,
    ) -> None:
        if seconds is not None and not (is_number(seconds) and seconds >= 0):
            raise ConfigError(f"expected slice as seconds, 0 or more, or null, got {seconds!r}")
        self.out = Path(out)
        self.outcomes: dict[str, Outcome] = {}
        self.failures: dict[str, str] = {}
        self.unfinished = False
        self._run_command = run_command
        self._console = console
        self._restart = restart
        self._end = None if seconds is None else time.monotonic() + seconds
        self._markers = Markers(out)
        self._states: dict[str, str] = {}  # of finished jobs, for the keys of jobs that need them
        self._given: dict[str, str] = {}
        self._advanced = False  # whether this call has done anything
        self._number = self._total = 0

    @classmethod
    def of(cls, options: Options, run_command: RunCommand, console: Console) -> "Runner":
        """The runner for the config of a plan: its `out`, `restart` and `slice`."""
        return cls(
            options["out"],
            run_command,
            console,
            restart=options["restart"],
            seconds=options["slice"],
        )

    def run_all(
        self,
        jobs: Mapping[str, Job],
        *,
        later: int = 0,
        complete: Callable[[Job], Job] = lambda job: job,
    ) -> None:
        """Run jobs in the given order.

        Args:
            jobs: jobs, each after the jobs it needs (`faceskd.jobs.plan.read_plan`).
            later: number of jobs that will be run after these, for "[3/12]".
            complete: called just before each job; returns the job with the overrides that depend
                on the results of earlier jobs.
        """
        self._total = sum(job.given is None for job in jobs.values()) + later
        for job in jobs.values():
            self.run(complete(job))

    def run(self, job: Job) -> None:
        """Run a job until it is done or the time limit is reached, unless it is done already.

        Does nothing if the time limit is reached already.
        """
        if self.unfinished:
            return
        if job.given is not None:
            self._states[job.name] = state_of("", content_digest(job.given))
            self._given[job.name] = str(job.given)
            return
        self._number += 1
        self._console.print(Rule(Text(f"[{self._number}/{self._total}] {job.name}")))
        missing = [need for need in job.needs if need not in self._states]
        if missing:
            self._fail(job, f"skipped: it needs {missing[0]}, which is not done")
            return
        key = self._key(job)
        with self._markers.lock(job.name, self._say_waiting):
            self._run_unless_done(job, key)
        if job.name in self.outcomes:
            product = content_digest(job.product) if job.product else None
            self._states[job.name] = state_of(key, product)

    def report(self) -> int:
        """Print failures, and whether there is more to do. Returns the exit status.

        The status is 75 (EX_TEMPFAIL) if there is more to do, else 1 if a job or some of its files
        failed, else 0.
        """
        in_part = [name for name, outcome in self.outcomes.items() if outcome.in_part]
        failures = dict.fromkeys(in_part, "some files failed: call again to try them again")
        failures |= self.failures
        for name, why in failures.items():
            self._console.print(f"{name}: {why}", style="bold red", markup=False)
        if self.unfinished:
            again = "call again, without restart=true" if self._restart else "call again"
            self._console.print(f"there is more to do: {again}", style="yellow")
            return EXIT_UNFINISHED
        return EXIT_SOME_FAILED if failures else 0

    def _key(self, job: Job) -> str:
        """The key of a job. It does not depend on where the plan's folder and given files are.

        What is given counts by its content, also for a job that reads it without needing it.
        """
        needed = {need: self._states[need] for need in job.needs}
        places = {path: needed[name] for name, path in self._given.items() if name in needed}
        places[str(self.out)] = "out"
        words = [without_places(override, places) for override in job.overrides]
        others = {path: self._states[name] for name, path in self._given.items()}
        words = [values_without_places(word, others) for word in words]
        return job_key(replace(job, overrides=tuple(words)).line(), needed)

    def _run_unless_done(self, job: Job, key: str) -> None:
        before = None if self._restart else self._markers.read(job.name, key)
        if before and before.done:
            if job.product is None or job.product.exists():
                self._say(f"done before, in {_spoken(before.seconds)}: {job.line()}")
                self._note_outcome(job, before, cached=True)
                return
            before = None
        if self._end is not None and self._advanced and time.monotonic() >= self._end:
            self.unfinished = True
            return
        self._run_now(job, before or Marker(key, job.line()), resume=before is not None)

    def _run_now(self, job: Job, marker: Marker, *, resume: bool) -> None:
        start = time.perf_counter()
        result = "stopped"
        try:
            result = self._attempt(job, marker, resume=resume)
        finally:  # a card tells the time of all calls, also of those that the user stopped
            marker = self._note_call(job, marker, result, time.perf_counter() - start)
        # A second attempt at failed files is no advance: else slices might never get beyond it.
        self._advanced |= result in (DONE, UNFINISHED)
        self.unfinished |= result == UNFINISHED
        if result in (DONE, IN_PART):
            self._markers.note_error(job.name, None)
            self._note_outcome(job, marker, in_part=result == IN_PART)
        gc.collect()  # networks and optimisers refer to each other

    def _note_call(self, job: Job, marker: Marker, result: str, spent: float) -> Marker:
        """Add a call to the log, and its time to the marker if the call got as far as its command.

        Else another key's output may still be there, which this key must not resume from.
        """
        self._markers.log(job.name, job.line(), result, spent)
        self._say(f"{job.name}: {result} after {_spoken(spent)}")
        if self._markers.read(job.name, marker.key):
            seconds, memory = marker.seconds + spent, peak_memory_mib()
            done = result == DONE
            marker = replace(marker, done=done, seconds=seconds, peak_memory_mib=memory)
            self._markers.write(job.name, marker)
        return marker

    def _note_outcome(self, job: Job, marker: Marker, **more: bool) -> None:
        self.outcomes[job.name] = Outcome(job, marker.seconds, marker.peak_memory_mib, **more)

    def _attempt(self, job: Job, marker: Marker, *, resume: bool) -> str:
        """Run a job's command; one of the results at the top of this module."""
        more = []
        if self._end is not None and job.command in LIMITED:
            left = max(self._end - time.monotonic(), 0)
            more.append(LIMITED[job.command].format(_duration(left)))
        self._say(f"$ {job.line(*more)}")
        try:
            if not resume:
                self._markers.clear(job.name, job.line(), job.output)
            self._markers.write(job.name, marker)
            status = self._run_command(job.command, [*job.overrides, *more])
            if status > FIRST_SIGNAL:  # the user stopped the job; it did not fail
                raise SystemExit(status)
            if status == EXIT_UNFINISHED:
                return UNFINISHED
            if status not in (0, EXIT_SOME_FAILED):
                raise FaceskdError(f"the command ended with status {status}")
        except Exception as error:  # the other jobs still run
            self._markers.note_error(job.name, traceback.format_exc())
            self._fail(job, f"failed: {reason(error)}")
            return FAILED
        if status == EXIT_SOME_FAILED:
            self._say(f"{job.name}: some files failed, as listed above; the others are done")
            return IN_PART
        return DONE

    def _fail(self, job: Job, why: str) -> None:
        self.failures[job.name] = why
        self._console.print(f"{job.name}: {why}", style="bold red", markup=False)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _say_waiting(self) -> None:
        self._say("another process runs this job: waiting for it")


def _spoken(seconds: float) -> str:
    """A readable time.

    Example:
        >>> _spoken(9.25), _spoken(194)
        ('9.2 s', '3 min 14 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _duration(seconds: float) -> str:
    """A time in the format of Lightning, DD:HH:MM:SS.

    Example:
        >>> _duration(90061)
        '01:01:01:01'
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"{day:02}:{hour:02}:{minute:02}:{second:02}"
