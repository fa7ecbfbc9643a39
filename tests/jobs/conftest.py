"""A runner of plans whose commands only write down how they were called."""

import io
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from rich.console import Console

from faceskd.jobs.plan import read_jobs, select_jobs
from faceskd.jobs.runner import Runner

End = int | BaseException | Callable[[], int]


class FakePlan:
    """Runs plans in one folder.

    Attributes:
        out: the plan's folder.
        calls: the words of each command of the last run.
        ends: how a command with this first override ends: status, exception, or a call.
        shared: overrides that jobs share.
        printed, status: of the last run.
        now: what the clock says; commands may move it.
    """

    def __init__(self, out):
        self.out = out
        self.calls: list[list[str]] = []
        self.ends: dict[str, End] = {}
        self.shared = {"train": []}
        self.printed, self.status, self.now = "", None, 0.0

    def command(self, name, arguments):
        self.calls.append([name, *arguments])
        end = self.ends.get(arguments[0], 0)
        if isinstance(end, BaseException):
            raise end
        return end() if callable(end) else end

    def run(self, configs, only=None, **options):
        self.calls.clear()
        shown = io.StringIO()
        runner = Runner(self.out, self.command, Console(file=shown, width=100), **options)
        jobs = read_jobs(configs, self.shared, self.out)
        try:
            runner.run_all(select_jobs(jobs, only or jobs))
            self.status = runner.report()
        finally:
            self.printed = shown.getvalue()
        return runner

    @property
    def names(self):
        return [words[1] for words in self.calls]


@pytest.fixture
def plan(tmp_path, monkeypatch):
    made = FakePlan(tmp_path / "out")
    clock = SimpleNamespace(monotonic=lambda: made.now, perf_counter=time.perf_counter)
    monkeypatch.setattr("faceskd.jobs.runner.time", clock)
    monkeypatch.setattr("faceskd.jobs.runner.gc", SimpleNamespace(collect=lambda: 0))  # it is slow
    return made
