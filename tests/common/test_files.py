"""Files that are written whole, and files that one process holds."""

import multiprocessing
import os
import signal
import time

import pytest

from faceskd.commands import run_command
from faceskd.common.errors import ConfigError
from faceskd.common.files import UMASK, held, write_text

FORK = multiprocessing.get_context("fork")


def test_written_files_have_the_permissions_of_others(tmp_path, monkeypatch):
    """The umask is of the whole process: it is not changed while other threads make files."""
    monkeypatch.setattr(os, "umask", pytest.fail)
    write_text(tmp_path / "a.txt", "a")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o666 & ~UMASK


def _tells_and_sleeps(queue):
    queue.put(os.getpid())
    time.sleep(60)


def _holds(path, queue):
    with held(path, pytest.fail):
        FORK.Process(target=_tells_and_sleeps, args=(queue,)).start()
        time.sleep(60)


def test_a_killed_process_holds_no_file_through_the_processes_it_forked(tmp_path):
    """Such as the workers of a killed training, which end a little later."""
    queue = FORK.Queue()
    holder = FORK.Process(target=_holds, args=(tmp_path / "lock", queue))
    holder.start()
    worker = queue.get(timeout=30)
    try:
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        with held(tmp_path / "lock", pytest.fail):
            os.kill(worker, 0)  # it lives
    finally:
        os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize(
    ("command", "words"),
    [("pools", ["src=nowhere"]), ("dictionary", ["faces=nowhere", "encoder.weights=nowhere"])],
)
def test_a_folder_where_a_file_is_to_be_written_is_refused_at_once(tmp_path, command, words):
    with pytest.raises(ConfigError, match="expected out as a file to write, got the folder"):
        run_command(command, [*words, f"out={tmp_path}"])
